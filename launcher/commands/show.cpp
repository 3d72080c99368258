// drover show: all that is known of jobs, and what happened to them.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/event_text.h"
#include "launcher/job_text.h"
#include "launcher/selector.h"
#include "launcher/table.h"
#include "launcher/terminal_text.h"
#include "runtime/control/client_message.h"
#include "runtime/control/duration.h"

namespace drover {

namespace {

// A node's clock may be behind that of the one where the job was submitted.
constexpr std::uint64_t kClockDifferenceNs = 60'000'000'000;
// What is told of a job after its end: an image of it, an attempt that was found to live on.
constexpr std::uint64_t kAfterTheEndNs = 3600'000'000'000;

// The events of each job, oldest first; of the time from the submission of the first to the end of the last.
std::map<long, Json> histories(Client client, const std::vector<Json>& jobs) {
  std::map<long, Json> out;
  std::uint64_t from_ns = UINT64_MAX, until_ns = 0;
  for (const Json& job : jobs) {
    out[job_id(job)] = Json::array();
    from_ns = std::min(from_ns, job.value("submitted_ns", std::uint64_t{0}));
    const bool over = is_final_state(job.value("state", ""));
    until_ns = std::max(until_ns, over ? job.value("ended_ns", std::uint64_t{0}) + kAfterTheEndNs : INT64_MAX);
  }
  from_ns -= std::min(from_ns, kClockDifferenceNs);
  client.send_request({{"op", "events"}, {"follow", false}, {"from", from_ns}, {"until", until_ns}});
  for (;;) {
    const Frame frame = client.receive();
    if (frame.type == static_cast<std::uint16_t>(ClientMessage::Reply)) {
      Client::parse_reply(frame);
      break;
    }
    Json event = Json::parse(frame.payload, nullptr, false);
    if (!event.is_object()) continue;
    if (const auto found = out.find(job_id(event)); found != out.end() && event.contains("job"))
      found->second.push_back(std::move(event));
  }
  for (auto& [id, events] : out)
    std::stable_sort(events.begin(), events.end(),
                     [](const Json& a, const Json& b) { return event_time_ns(a) < event_time_ns(b); });
  return out;
}

std::string long_state_text(const Json& job) {
  std::string state = job.value("state", "");
  if (state != "ended") return state;
  const int signal = job.value("signal", 0);
  if (signal == 0) return fmt::format("ended, exit code {}", job.value("exit", 0));
  const char* name = ::sigabbrev_np(signal);
  return fmt::format("ended by signal {} ({})", signal, name == nullptr ? "?" : name);
}

void print_job(const Json& job) {
  const auto line = [](std::string_view name, const std::string& value) {
    fmt::print("{:<10} {}\n", name, value.empty() ? "-" : printable(value));
  };
  const auto time = [&job](const char* name) { return local_time_text(job.value(name, std::uint64_t{0})); };
  line("job", fmt::format("{}", job_id(job)));
  line("name", job.value("name", ""));
  line("state", long_state_text(job));
  if (const auto error = job.value("error", ""); !error.empty()) line("error", error);
  line("command", command_text(job));
  for (const char* stream : {"stdin", "stdout", "stderr"}) line(stream, job.value(stream, ""));
  line("origin", job.value("origin", ""));
  line("node", job.value("node", ""));
  if (job.value("attempts", 1) > 1) {
    const std::string before = job.value("last_failure", "");
    line("attempt", fmt::format("{} of {}{}", job.value("attempt", 1), job.value("attempts", 1),
                                before.empty() ? "" : ", after " + before));
  }
  line("why there", job.value("why", ""));
  line("pinned", job.value("pinned", "").empty() ? "no" : job.value("pinned", ""));
  if (job.value("terminal", false)) line("terminal", fmt::format("yes, {} looking at it", job.value("viewers", 0)));
  line("submitted", time("submitted_ns"));
  line("started", time("started_ns"));
  line("ended", time("ended_ns"));
  if (const auto limit_s = job.value("time_limit_s", std::uint64_t{0}); limit_s != 0)
    line("time limit", duration_text(limit_s));
  if (const auto held_s = job.value("held_s", std::uint64_t{0}); held_s != 0) line("time held", duration_text(held_s));
  if (const auto image = job.value("checkpoint", ""); !image.empty())
    line("checkpoint", fmt::format("{}, of {}", image, time("checkpoint_ns")));
  line("time run", format_seconds(run_seconds(job)));
  line("cpu", format_seconds(job.value("cpu_seconds", 0.0)));
  line("memory", format_kib(job.value("memory_kib", 0.0)) + (is_final_state(job.value("state", "")) ? " at most" : ""));
  line("moves", fmt::format("{}, frozen {:.1f} ms in all", job.value("moves", 0), job.value("frozen_ms", 0.0)));
  line("epoch", fmt::format("{}", job.value("epoch", 0)));
  line("pid", fmt::format("{}", job.value("pid", 0)));
}

void print_history(const Json& events) {
  Table table({{"TIME"}, {"NODE"}, {"EVENT"}, {"DETAILS"}});
  for (const Json& event : events) {
    const auto time_ns = event_time_ns(event);
    table.add({local_time_text(time_ns) + clock_text(time_ns).substr(8), event.value("node", ""),
               event.value("event", ""), event_details(event, "job")});
  }
  fmt::print("\n");
  std::fflush(stdout);
  table.print();
}

void show(const Context& context, const SelectorOptions& options, const Output& output) {
  const JobSelector selector = options.selector();
  if (selector.empty())
    throw UsageError("show: no job given; write its id, last, all, --name or --state; see drover show --help");
  std::vector<Json> jobs = selected_jobs(context, selector, Scope::Everything);
  if (jobs.empty() && !selector.has(JobSelector::Kind::All)) throw_no_job(selector);
  if (output.quiet()) return print_ids(jobs);
  std::map<long, Json> events = histories(context.connect(), jobs);
  if (output.json()) {
    for (Json& job : jobs) job["history"] = std::move(events[job_id(job)]);
    return Output::print_json(jobs);
  }
  for (const Json& job : jobs) {
    if (&job != &jobs.front()) fmt::print("\n\n");
    print_job(job);
    print_history(events[job_id(job)]);
  }
}

}  // namespace

void add_show(CLI::App& app, Context& context) {
  auto selector = std::make_shared<SelectorOptions>();
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("show", "Print all that is known of jobs, and what happened to them");
  selector->add_to(*command, "Which jobs");
  output->add_to(*command);
  command->footer("Examples: drover show last;  drover show --state failed,lost;  drover show 7 -o json");
  command->callback([&context, selector, output] { show(context, *selector, *output); });
}

}  // namespace drover
