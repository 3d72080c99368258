#include "launcher/dry_run.h"

#include <fmt/format.h>

#include <set>

#include "launcher/job_text.h"
#include "launcher/terminal_text.h"
#include "runtime/control/duration.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace drover {

namespace {

// Leaves in `env` what is not from here, and moves the names of the others to `inherited_env`.
void hide_environment(Json& spec) {
  std::set<std::string> here;
  for (char** entry = environ; *entry != nullptr; ++entry) here.insert(*entry);
  Json set = Json::array(), inherited = Json::array();
  for (const auto& entry : spec.at("env").get<std::vector<std::string>>())
    if (here.count(entry) == 0)
      set.push_back(entry);
    else
      inherited.push_back(entry.substr(0, entry.find('=')));
  spec["env"] = std::move(set);
  spec["inherited_env"] = std::move(inherited);
}

std::string program_text(const Json& spec) {
  if (!spec.contains("script")) return command_text(spec);
  const Json& script = spec.at("script");
  if (!script.is_string()) return "the script";
  const auto& text = script.get_ref<const std::string&>();
  return fmt::format("the script ({} bytes, {})", text.size(), text.substr(0, text.find('\n')));
}

// As it would be typed; empty: not to be shown, since it is what it is without any option.
std::string value_text(const std::string& name, const Json& value) {
  if (name == "umask") return fmt::format("{:03o}", value.get<unsigned>());
  if (name == "time_limit_s" || name == "checkpoint_every_s")
    return value == 0 ? "" : duration_text(value.get<std::uint64_t>());
  if (name == "namespaces") return value == true ? "" : "no";
  if (value.is_boolean()) return value == true ? "yes" : "";
  if (value.is_string()) return value.get<std::string>();
  return value.is_null() || value == 0 || value.empty() ? ""
                                                        : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void print_dry_run(Json spec, const Output& output) {
  hide_environment(spec);
  if (output.quiet()) return;
  if (output.json()) return Output::print_json(spec);
  const auto line = [](const std::string& name, const std::string& text) {
    if (!text.empty()) fmt::print("{:<13} {}\n", name, printable(text));
  };
  fmt::print("would submit:\n");
  line("program", program_text(spec));
  if (spec.contains("script") && spec.at("argv").size() > 1) {
    auto arguments = spec.at("argv").get<std::vector<std::string>>();
    arguments.erase(arguments.begin());
    line("arguments", shell_command(arguments));
  }
  for (const auto& [name, value] : spec.items())
    if (name != "argv" && name != "script" && name != "env" && name != "inherited_env" && name != "limits")
      line(name, value_text(name, value));
  for (const auto& entry : spec.at("env")) line("env", entry.get<std::string>());
  line("env", fmt::format("and {} variables from here", spec.at("inherited_env").size()));
}

}  // namespace drover
