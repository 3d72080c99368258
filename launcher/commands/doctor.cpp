// drover doctor: what hosts let Drover do, what is missing, and how to get it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/table.h"

namespace drover {

namespace {

// Without a world: of this host, by the droverd beside us.
Json examine_this_host() {
  const std::filesystem::path droverd = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "droverd";
  const std::string command = fmt::format("exec '{}' --doctor", droverd.string());
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error(droverd.string() + " can't be started");
  std::string text;
  std::array<char, 4096> part{};
  for (std::size_t n = 0; (n = std::fread(part.data(), 1, part.size(), pipe)) > 0;) text.append(part.data(), n);
  const int status = ::pclose(pipe);
  Json findings = Json::parse(text, nullptr, false);
  if (status != 0 || !findings.is_array()) throw std::runtime_error(droverd.string() + " --doctor failed");
  return Json::array({{{"node", "this host"}, {"findings", std::move(findings)}}});
}

Json examine(Context& context) {
  try {
    return context.connect().request({{"op", "doctor"}}).at("nodes");
  } catch (const NoDroverd&) {
    if (!context.at.empty()) throw;
    return examine_this_host();
  }
}

struct Line {
  std::string check, status, detail, nodes;
  std::size_t count = 0;
};

// What several nodes have alike is one line.
std::vector<Line> merge(const Json& nodes) {
  std::vector<Line> lines;
  for (const Json& node : nodes) {
    const std::string name = node.value("node", "");
    Json findings = node.value("findings", Json::array());
    if (findings.empty())
      findings.push_back({{"check", "answer"}, {"status", "missing"}, {"detail", "none; see drover nodes"}});
    for (const Json& finding : findings) {
      const Line line{finding.value("check", ""), finding.value("status", ""), finding.value("detail", ""), name, 1};
      const auto same = std::find_if(lines.begin(), lines.end(), [&](const Line& other) {
        return other.check == line.check && other.status == line.status && other.detail == line.detail;
      });
      if (same == lines.end()) {
        lines.push_back(line);
        continue;
      }
      same->nodes += " " + name;
      ++same->count;
    }
  }
  return lines;
}

void print_missing(const std::vector<Line>& lines) {
  for (const Line& line : lines)
    if (line.status == "missing") fmt::print("{}\n", line.check);
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  auto output = std::make_shared<Output>();
  CLI::App* command =
      app.add_subcommand("doctor", "Tell what the hosts let Drover do, what is missing, and how to get it");
  output->add_to(*command);
  command->footer(
      "Looks at every node of the world that is up; if none is, at this host. Exit code 1 if anything is missing.\n"
      "Example: drover doctor");
  command->callback([&context, output] {
    const Json nodes = examine(context);
    const std::vector<Line> lines = merge(nodes);
    for (const Line& line : lines)
      if (line.status == "missing") context.exit_code = 1;
    if (output->json()) return Output::print_json(nodes);
    if (output->quiet()) return print_missing(lines);
    Table table({{"CHECK"}, {"STATUS"}, {"NODES"}, {"DETAIL"}});
    for (const Line& line : lines)
      table.add(
          {line.check, line.status, line.count == nodes.size() && nodes.size() > 1 ? "all" : line.nodes, line.detail});
    table.print();
  });
}

}  // namespace drover
