// What this node finds out about itself for `drover doctor`.
#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/node/node.h"

namespace drover {

using nlohmann::json;

std::vector<Finding> Node::judge_world() const {
  std::vector<Finding> findings;
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  if (MPI_Get_library_version(text, &length) == MPI_SUCCESS) {
    const std::string version(text, static_cast<std::size_t>(length));
    findings.push_back({"MPI", Condition::Ok, version.substr(0, version.find(','))});
  }
  std::string cant_go;
  for (int rank = 0; rank < size(); ++rank)
    if (!lacks(rank).empty())
      cant_go += fmt::format("{}{}: {}", cant_go.empty() ? "" : "; ", node_name(rank), lacks(rank));
  findings.push_back(cant_go.empty()
                         ? Finding{"processors", Condition::Ok, "jobs here can go on at every node"}
                         : Finding{"processors", Condition::Limited, "jobs here can't go on everywhere: " + cant_go});
  return findings;
}

void Node::answer_doctor(int from, std::uint64_t request, const std::string& token) {
  struct Look {
    HostFacts facts;
    bool sees_token = false;
  };
  const auto look = std::make_shared<Look>();
  in_background(
      [look, token, state = paths_.state] {
        look->facts = read_host_facts(state);
        look->sees_token = ::access(token.c_str(), F_OK) == 0;
      },
      [this, look, from, request] {
        look->facts.no_namespaces = placed_->no_namespaces_reason();
        std::vector<Finding> findings = judge(look->facts);
        if (!look->sees_token)
          findings.push_back({"shared state", Condition::Missing,
                              fmt::format("{} here is not what {} has there; put it on a file system that all nodes "
                                          "share ($DROVER_STATE_DIR)",
                                          paths_.state, node_name(from))});
        for (Finding& finding : judge_world()) findings.push_back(std::move(finding));
        json list = json::array();
        for (const Finding& finding : findings) list.push_back(finding_to_json(finding));
        send(from, Msg::GatherReply,
             Question{request, json{{"findings", list}}.dump(-1, ' ', false, json::error_handler_t::replace)});
      });
}

}  // namespace drover
