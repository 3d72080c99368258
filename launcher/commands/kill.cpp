// drover kill: a signal to jobs, wherever they are.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/selector.h"

namespace drover {

namespace {

// "TERM", "SIGTERM" or "15".
int parse_signal(std::string text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) {
    if (number >= 1 && number <= SIGRTMAX) return number;
  } else {
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (text.compare(0, 3, "SIG") == 0) text.erase(0, 3);
    for (int signal = 1; signal < NSIG; ++signal)
      if (const char* name = ::sigabbrev_np(signal); name != nullptr && text == name) return signal;
  }
  throw UsageError(fmt::format("signal {}: no such signal; see: kill -l", text));
}

struct KillOptions {
  SelectorOptions selector;
  std::string signal = "TERM";
};

// droverd's answers about a job that ended after we had asked which jobs there are.
bool has_ended_meanwhile(const RequestError& error) {
  return error.code() == "refused" || error.code() == "no-such-job";
}

int kill_jobs(const Context& context, const KillOptions& options) {
  const int signal = parse_signal(options.signal);
  const JobSelector selector = options.selector.selector();
  if (selector.empty())
    throw UsageError("kill: no job given; write its id, last, all, --name or --state; see drover kill --help");
  const bool all = selector.has(JobSelector::Kind::All);
  const std::vector<long> jobs = selected_ids(context, selector, Scope::Unfinished);
  if (jobs.empty() && !all) throw_no_job(selector);
  int exit_code = 0;
  for (const long job : jobs) try {  // a connection carries one request
      context.connect().request({{"op", "kill"}, {"job", job}, {"signal", signal}});
    } catch (const RequestError& error) {
      if (all && has_ended_meanwhile(error)) continue;
      print_error(error.what());
      exit_code = std::max(exit_code, error.exit_code(1));
    }
  return exit_code;
}

}  // namespace

void add_kill(CLI::App& app, Context& context) {
  auto options = std::make_shared<KillOptions>();
  CLI::App* command = app.add_subcommand("kill", "Send a signal to jobs");
  options->selector.add_to(*command, "Which jobs");
  command->add_option("-s,--signal", options->signal, "Name or number")->type_name("SIG")->capture_default_str();
  command->footer("Examples: drover kill 7;  drover kill -s INT 3-6,12;  drover kill all --name 'make-*'");
  command->callback([&context, options] { context.exit_code = kill_jobs(context, *options); });
}

}  // namespace drover
