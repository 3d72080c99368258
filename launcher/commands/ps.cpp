// drover ps: the jobs, where they are, and why.
#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/table.h"

namespace drover {

namespace {

double seconds_since(std::uint64_t begin_ns, std::uint64_t end_ns) {
  if (begin_ns == 0) return 0;
  if (end_ns == 0)
    end_ns = static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count());
  return end_ns > begin_ns ? static_cast<double>(end_ns - begin_ns) / 1e9 : 0;
}

std::string command_line(const Json& job) {
  std::string out;
  for (const auto& word : job.value("argv", std::vector<std::string>{})) out += (out.empty() ? "" : " ") + word;
  return out;
}

// Why it sits where it sits, the most telling reason first.
std::string why(const Json& job) {
  if (auto error = job.value("error", ""); !error.empty()) return error;
  if (const auto pinned = job.value("pinned", ""); !pinned.empty()) return "pinned: " + pinned;
  return job.value("why", "");
}

std::string state_text(const Json& job) {
  std::string state = job.value("state", "");
  if (state != "ended") return state;
  if (const int signal = job.value("signal", 0); signal != 0) return fmt::format("signal {}", signal);
  return fmt::format("exit {}", job.value("exit", 0));
}

}  // namespace

void add_ps(CLI::App& app, Context& context) {
  auto output = std::make_shared<Output>();
  auto all = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("ps", "List jobs: state, place, origin, CPU time, moves, and why");
  command->add_flag("-a,--all", *all, "Ended ones too");
  output->add_to(*command);
  command->footer("Examples: drover ps;  drover ps -a -o json");
  command->callback([&context, output, all] {
    const Json reply = context.connect().request({{"op", "ps"}, {"all", *all}});
    const Json& jobs = reply.at("jobs");
    if (output->json()) return Output::print_json(jobs);
    using A = Table::Align;
    Table table({{"JOB", A::Right},
                 {"STATE"},
                 {"NODE"},
                 {"ORIGIN"},
                 {"TIME", A::Right},
                 {"CPU", A::Right},
                 {"MEMORY", A::Right},
                 {"MOVES", A::Right},
                 {"FROZEN", A::Right},
                 {"NAME"},
                 {"WHY"},
                 {"COMMAND"}});
    for (const Json& job : jobs)
      table.add({fmt::format("{}", job.value("job", 0L)), state_text(job), job.value("node", ""),
                 job.value("origin", ""),
                 format_seconds(
                     seconds_since(job.value("started_ns", std::uint64_t{0}), job.value("ended_ns", std::uint64_t{0}))),
                 format_seconds(job.value("cpu_seconds", 0.0)), format_kib(job.value("memory_kib", 0.0)),
                 fmt::format("{}", job.value("moves", 0)), fmt::format("{:.1f} ms", job.value("frozen_ms", 0.0)),
                 job.value("name", ""), why(job), command_line(job)});
    table.print();
  });
}

}  // namespace drover
