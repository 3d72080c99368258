// drover kill: a signal to jobs, wherever they are.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>

#include "launcher/commands/commands.h"

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
  std::vector<std::string> jobs;
  std::string signal = "TERM";
};

}  // namespace

void add_kill(CLI::App& app, Context& context) {
  auto options = std::make_shared<KillOptions>();
  CLI::App* command = app.add_subcommand("kill", "Send a signal to jobs");
  command->add_option("JOB", options->jobs, "Their ids")->required();
  command->add_option("-s,--signal", options->signal, "Name or number")->type_name("SIG")->capture_default_str();
  command->footer("Examples: drover kill 7;  drover kill -s INT 7 8");
  command->callback([&context, options] {
    const int signal = parse_signal(options->signal);
    for (const long job : job_numbers(options->jobs))  // a connection carries one request
      context.connect().request({{"op", "kill"}, {"job", job}, {"signal", signal}});
  });
}

}  // namespace drover
