#include "launcher/job_spec.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "launcher/commands/commands.h"
#include "runtime/control/duration.h"
#include "runtime/control/path_pattern.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace drover {

namespace {

// umask can't be read without setting it.
mode_t current_umask() {
  const mode_t mask = ::umask(077);
  ::umask(mask);
  return mask;
}

Json current_limits() {
  Json limits = Json::array();
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) < 0) continue;
    const auto value = [](rlim_t n) { return n == RLIM_INFINITY ? -1 : static_cast<std::int64_t>(n); };
    limits.push_back({resource, value(limit.rlim_cur), value(limit.rlim_max)});
  }
  return limits;
}

// "7", "7:ok" or "7:any"
Json after_to_json(const std::vector<std::string>& after) {
  Json list = Json::array();
  for (const std::string& text : after) {
    const auto colon = text.find(':');
    const std::string job = text.substr(0, colon), how = colon == std::string::npos ? "ok" : text.substr(colon + 1);
    std::int64_t id = 0;
    const auto end = std::from_chars(job.data(), job.data() + job.size(), id);
    if (job.empty() || end.ptr != job.data() + job.size() || id < 1 || (how != "ok" && how != "any"))
      throw UsageError(fmt::format("--after {}: must be a job's id, or that with :ok or :any", text));
    list.push_back({id, how});
  }
  return list;
}

}  // namespace

std::string absolute_path(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

std::string absolute_pattern(const std::string& option, const std::string& pattern, const std::string& job_name,
                             bool task) {
  if (pattern.empty()) return pattern;
  try {
    PatternValues values{.name = job_name};
    if (task) values.array_index = 0;
    (void)expand_path_pattern(pattern, values);
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("{} {}", option, error.what()));
  }
  // This directory's own name holds no patterns.
  const std::filesystem::path here =
      pattern[0] == '/' ? "" : escape_path_pattern(std::filesystem::current_path().string());
  return (here / pattern).lexically_normal().string();
}

static std::string is_duration(const std::string& text) {
  if (parse_duration_seconds(text)) return {};
  return fmt::format(
      "'{}' is no length of time; write 90 (seconds), 90s, 15m, 2h, 1h30m, 1d, 1:30:00 or 1-12 "
      "(days-hours), at most ten years",
      text);
}

void JobOptions::add_to(CLI::App& command) {
  command.add_option("PROGRAM", program_for_help, "The program and its arguments, after -- if it is to be clear")
      ->type_name("[ARGUMENT]");
  command.add_option("--name", name, "Name shown by ps (default: the program's)")->type_name("NAME");
  command.add_option("--cwd", cwd, "Working directory (default: this one)")->type_name("DIR");
  command.add_option("--env", env, "Set NAME=VALUE in the job's environment (repeatable)")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      .add_option("--time-limit", time_limit,
                  "End the job after 90 (seconds), 15m, 2h, 1h30m, 1d, 1:30:00 or 1-12 (days-hours); 0: never")
      ->type_name("TIME")
      ->check(is_duration);
  command
      .add_option("--checkpoint-every", checkpoint_every,
                  "Write an image of the job so often, in place of the last; 0: never")
      ->type_name("TIME")
      ->check(is_duration);
  command
      .add_option("--retries", retries,
                  "Start the job anew, at most so often, when it fails or its node is lost; not when it is killed")
      ->type_name("N")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--node", node, "Start exactly there (default: the policy chooses)")->type_name("NODE");
  command.add_option("--exclude-node", exclude, "Don't start there (repeatable, or a list with commas)")
      ->type_name("NODE")
      ->expected(1)
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("-c,--cpus", cpus, "PUs that the job needs; it waits until a node has that many left")
      ->type_name("N")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  command.add_option("--mem", memory_bytes, "Memory that must be available where it starts, such as 500M or 2G")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false));
  command.add_option("--priority", priority, "Of those that wait, a higher one starts first")
      ->type_name("N")
      ->check(CLI::Range(-1000000, 1000000))
      ->capture_default_str();
  command
      .add_option(
          "--after", after,
          "Start when that job has ended with exit code 0, or with :any however it ended (repeatable, or a list "
          "with commas)")
      ->type_name("JOB[:ok|:any]")
      ->expected(1)
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_flag("--pin", pin, "Never move the job");
  command.add_flag("--no-namespace", no_namespace, "Without namespaces of its own; such a job can't be moved");
}

nlohmann::json JobOptions::spec(const std::vector<std::string>& argv) const {
  if (argv.empty() || argv[0].empty())
    throw UsageError(
        "no program given; write it after the options: drover run -- PROGRAM ARGUMENTS, or submit a script: "
        "drover submit < script.sh");
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  for (const std::string& assignment : env) {
    const auto equals = assignment.find('=');
    if (equals == 0 || equals == std::string::npos)
      throw UsageError(fmt::format("--env {}: must be NAME=VALUE", assignment));
    const std::string prefix = assignment.substr(0, equals + 1);
    std::erase_if(environment, [&](const std::string& entry) { return entry.compare(0, prefix.size(), prefix) == 0; });
    environment.push_back(assignment);
  }
  std::error_code error;
  std::filesystem::path directory = std::filesystem::current_path(error);
  if (!cwd.empty()) directory = absolute_path(cwd);
  if (directory.empty()) throw UsageError(fmt::format("the working directory can't be read: {}", error.message()));
  return {{"argv", argv},
          {"env", environment},
          {"cwd", directory.string()},
          {"umask", current_umask()},
          {"name", name.empty() ? std::filesystem::path(argv[0]).filename().string() : name},
          {"limits", current_limits()},
          {"stdin", ""},
          {"stdout", ""},
          {"stderr", ""},
          {"attached", false},
          {"node", node},
          {"namespaces", !no_namespace},
          {"pinned", pin},
          {"cpus", cpus},
          {"memory_kib", memory_bytes / 1024},
          {"priority", priority},
          {"exclude", exclude},
          {"after", after_to_json(after)},
          {"retries", retries},
          {"checkpoint_every_s", parse_duration_seconds(checkpoint_every).value_or(0)},
          {"time_limit_s", parse_duration_seconds(time_limit).value_or(0)}};
}

}  // namespace drover
