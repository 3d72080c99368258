#include "launcher/shell/job_list.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "launcher/job_text.h"

namespace drover::shell {

namespace {

// Of a droverd that may have been stopped.
Json ask(const Context& context, const char* op, std::chrono::milliseconds longest, std::string& node) {
  Client client = context.connect();
  node = client.node();
  const timeval limit{longest.count() / 1000, longest.count() % 1000 * 1000};
  ::setsockopt(client.connection().fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return client.request({{"op", op}});
}

std::string state_text(const Jobs::Job& job) {
  switch (job.state()) {
    case Jobs::State::Running:
      return "Running";
    case Jobs::State::Stopped:
      return "Stopped";
    default:
      return job.status() == 0 ? "Done" : fmt::format("Exit {}", job.status());
  }
}

}  // namespace

Places ask_places(const Context& context) {
  Places places;
  try {
    std::string node;
    const Json reply = ask(context, "ps", std::chrono::seconds(2), node);
    for (const Json& job : reply.at("jobs"))
      places[job.at("job").get<long>()] = job.value("state", "") == "queued" ? "" : job.value("node", "");
  } catch (const std::exception&) {
  }
  return places;
}

std::string job_line(const Jobs& jobs, const Jobs::Job& job, const Places& places) {
  const char mark = jobs.current() == &job ? '+' : jobs.current(1) == &job ? '-' : ' ';
  std::string where;
  for (const long id : job.ids) {
    const auto place = places.find(id);
    if (!places.empty() && place == places.end()) continue;  // it has ended
    where += fmt::format("{}{}", where.empty() ? "" : ", ", id);
    if (place != places.end()) where += place->second.empty() ? " waits" : " on " + place->second;
  }
  const bool ended = job.state() == Jobs::State::Done;
  return fmt::format("[{}]{} {:<9}{}{}", job.number, mark, state_text(job),
                     ended ? "" : fmt::format("{:<20} ", where.empty() ? "-" : where), job.text);
}

NodeState ask_node_state(const Context& context) {
  NodeState out;
  try {
    const Json reply = ask(context, "nodes", std::chrono::milliseconds(300), out.node);
    for (const Json& node : reply.at("nodes"))
      if (node.value("node", "") == out.node) out.state = node.value("state", "");
  } catch (const std::exception&) {
  }
  return out;
}

}  // namespace drover::shell
