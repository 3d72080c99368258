// drover wait: until jobs have ended. Its exit code is that of the last one named, as the shell's wait has it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"

namespace drover {

void add_wait(CLI::App& app, Context& context) {
  auto texts = std::make_shared<std::vector<std::string>>();
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("wait", "Wait until jobs have ended; exits as the last one named did");
  command->add_option("JOB", *texts, "Their ids (default: all that have not ended)");
  output->add_to(*command);
  command->footer("Examples: drover wait;  drover wait 7 8");
  command->callback([&context, texts, output] {
    std::vector<long> jobs = job_numbers(*texts);
    if (jobs.empty()) {
      const Json reply = context.connect().request({{"op", "ps"}, {"all", false}});
      for (const Json& job : reply.at("jobs")) jobs.push_back(job.at("job").get<long>());
    }
    if (jobs.empty()) return;
    const Json ended = context.connect().request({{"op", "wait"}, {"jobs", jobs}}).at("jobs");
    if (output->json()) Output::print_json(ended);
    for (const Json& job : ended) {
      const bool lost = job.value("state", "") != "ended";
      if (lost)
        fmt::print(stderr, "drover: job {}: {}: {}\n", job.value("job", 0L), job.value("state", ""),
                   job.value("error", ""));
      if (job.value("job", 0L) == jobs.back()) context.exit_code = lost ? 125 : job.value("exit", 0);
    }
  });
}

}  // namespace drover
