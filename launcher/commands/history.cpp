// drover history: the jobs that have ended: where and when each ran, and what it took.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <climits>
#include <iterator>
#include <memory>
#include <optional>

#include "launcher/commands/commands.h"
#include "launcher/job_text.h"
#include "launcher/selector.h"
#include "launcher/table.h"
#include "launcher/time_text.h"

namespace drover {

namespace {

constexpr long kLastJob = LONG_MAX;

struct HistoryOptions {
  SelectorOptions selector;
  std::optional<std::string> since;
  long limit = 50;
  Output output;
};

std::uint64_t ended_ns(const Json& job) { return job.value("ended_ns", std::uint64_t{0}); }

// The newest `limit` that ended since then, newest last.
std::vector<Json> newest(std::vector<Json> jobs, long limit, std::uint64_t since_ns) {
  std::erase_if(jobs, [since_ns](const Json& job) { return ended_ns(job) < since_ns; });
  std::sort(jobs.begin(), jobs.end(), [](const Json& a, const Json& b) {
    return std::pair(ended_ns(a), job_id(a)) < std::pair(ended_ns(b), job_id(b));
  });
  if (limit > 0 && std::ssize(jobs) > limit) jobs.erase(jobs.begin(), jobs.end() - limit);
  return jobs;
}

// Those of the archive count where what droverd has in memory does not fill the list with newer ones.
std::vector<Json> ended_jobs(const Context& context, const HistoryOptions& options, std::uint64_t since_ns) {
  const JobSelector selector = options.selector.selector();
  std::vector<Json> jobs = selected_jobs(context, selector, Scope::Everything);
  std::erase_if(jobs, [](const Json& job) { return !is_final_state(job.value("state", "")); });
  if (jobs.empty() && !selector.terms.empty())
    throw std::runtime_error(fmt::format("history: {}: no such job has ended; see drover ps", selector.text()));
  jobs = newest(std::move(jobs), options.limit, since_ns);
  if (!selector.terms.empty()) return jobs;  // which are all there are
  const bool full = options.limit > 0 && std::ssize(jobs) == options.limit;
  Json all = jobs;
  add_missing(all, archived_jobs(context, 0, kLastJob, full ? ended_ns(jobs.front()) : since_ns));
  return newest(choose_jobs(selector, Scope::Everything, all, ""), options.limit, since_ns);
}

// Why it ended, and in which attempt.
std::string reason_text(const Json& job) {
  std::string error = job.value("error", "");
  if (job.value("attempt", 1) <= 1) return error;
  return attempt_text(job) + (error.empty() ? "" : ": " + error);
}

void print_table(const std::vector<Json>& jobs) {
  using A = Table::Align;
  Table table({{"JOB", A::Right},
               {"EXIT", A::Left, state_colour},
               {"ORIGIN"},
               {"NODE"},
               {"STARTED"},
               {"ENDED"},
               {"TIME", A::Right},
               {"CPU", A::Right},
               {"MEMORY", A::Right},
               {"MOVES", A::Right},
               {"FROZEN", A::Right},
               {"NAME"},
               {"REASON"},
               {"COMMAND"}});
  for (const Json& job : jobs)
    table.add({fmt::format("{}", job_id(job)), state_text(job), job.value("origin", ""), job.value("node", ""),
               local_time_text(job.value("started_ns", std::uint64_t{0})), local_time_text(ended_ns(job)),
               format_seconds(run_seconds(job)), format_seconds(job.value("cpu_seconds", 0.0)),
               format_kib(job.value("memory_kib", 0.0)), fmt::format("{}", job.value("moves", 0)),
               fmt::format("{:.1f} ms", job.value("frozen_ms", 0.0)), name_text(job), reason_text(job),
               command_text(job)});
  table.print();
}

void history(const Context& context, const HistoryOptions& options) {
  const std::uint64_t since_ns = options.since ? parse_time(*options.since) : 0;
  const std::vector<Json> jobs = ended_jobs(context, options, since_ns);
  if (options.output.quiet()) return print_ids(jobs);
  if (!options.output.json()) return print_table(jobs);
  for (const Json& job : jobs) fmt::print("{}\n", job.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

void add_history(CLI::App& app, Context& context) {
  auto options = std::make_shared<HistoryOptions>();
  CLI::App* command = app.add_subcommand(
      "history", "List jobs that have ended, newest last: where, when, what they took (json: one object a line)");
  options->selector.add_to(*command, "Which of them (default: all)");
  command
      ->add_option("--since", options->since,
                   "Only those that ended since 30m, 2h, 3d, 2026-11-28 or '2026-11-28 12:00'")
      ->type_name("TIME");
  command->add_option("--limit", options->limit, "Only the newest N; 0: all")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  options->output.add_to(*command);
  command->footer("Examples: drover history --since 2h;  drover history --state failed,lost --limit 0 -o quiet");
  command->callback([&context, options] { history(context, *options); });
}

}  // namespace drover
