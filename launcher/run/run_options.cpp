#include "launcher/run/run_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <optional>

namespace drover {

static constexpr int kOurFailure = 125;  // as env(1) and timeout(1): not the program's own code

void SessionOptions::add_to(CLI::App& command) {
  command.add_option("--give-up-after", give_up_after, "Seconds to wait for a new droverd when ours goes away")
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 7 * 24 * 3600))
      ->envname("DROVER_GIVE_UP_AFTER")
      ->capture_default_str();
}

void SessionOptions::add_keys_to(CLI::App& command) {
  command.add_option("--detach-keys", detach_keys, "Keys that leave the job's terminal while it runs on; empty: none")
      ->type_name("KEYS")
      ->envname("DROVER_DETACH_KEYS")
      ->capture_default_str();
}

int SessionOptions::follow(const Context& context, bool terminal, const std::function<int(RunSession&)>& work,
                           RunSession::Options options) const {
  options.at = context.at;
  options.give_up_after = std::chrono::seconds(give_up_after);
  if (terminal) options.detach_keys = detach_keys;
  std::optional<RunSession> session;  // its end gives the terminal back, before anything is said there
  const auto fail = [&](const char* what, int exit_code) {
    session.reset();
    fmt::print(stderr, "drover: {}\n", what);
    return exit_code;
  };
  try {
    session.emplace(instance_paths(), options);
    return work(*session);
  } catch (const UsageError&) {
    throw;
  } catch (const RequestError& error) {
    return fail(error.what(), error.exit_code(kOurFailure));
  } catch (const std::exception& error) {
    return fail(error.what(), kOurFailure);
  }
}

}  // namespace drover
