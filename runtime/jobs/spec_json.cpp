#include "runtime/jobs/spec_json.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>
#include <utility>

#include "runtime/jobs/array.h"
#include "runtime/jobs/attempt.h"

namespace drover {

using nlohmann::json;

namespace {

bool is_utf8(const std::string& text) {
  // nlohmann's own check, by way of its writer.
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  if (hex.size() % 2 != 0) throw std::invalid_argument("'hex' has an odd number of digits");
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned char byte = 0;
    const char* const end = hex.data() + i + 2;
    const auto read = std::from_chars(hex.data() + i, end, byte, 16);
    if (read.ec != std::errc{} || read.ptr != end) throw std::invalid_argument("'hex' holds something else");
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

std::string text_field(const json& spec, const char* name) {
  return spec.contains(name) ? string_from_json(spec.at(name)) : std::string();
}

std::vector<std::string> list_field(const json& spec, const char* name) {
  std::vector<std::string> result;
  for (const auto& element : spec.at(name)) result.push_back(string_from_json(element));
  return result;
}

// json's own conversion wraps what does not fit, cuts a fraction off, and of 1e300 makes anything.
template <class T>
T whole_number(const json& value, const char* name) {
  const bool fits = value.is_number_unsigned()
                        ? std::in_range<T>(value.get<std::uint64_t>())
                        : value.is_number_integer() && std::in_range<T>(value.get<std::int64_t>());
  if (!fits)
    throw std::invalid_argument(fmt::format("'{}' has something that is no whole number, or out of bounds", name));
  return value.get<T>();
}

template <class T>
T number_field(const json& spec, const char* name, T otherwise) {
  return spec.contains(name) ? whole_number<T>(spec.at(name), name) : otherwise;
}

json limit_value(std::uint64_t value) { return value == ~0ULL ? json(-1) : json(value); }

std::uint64_t limit_value(const json& value) {
  return value == -1 ? ~0ULL : whole_number<std::uint64_t>(value, "limits");
}

}  // namespace

json string_to_json(const std::string& text) {
  if (is_utf8(text)) return text;
  std::string hex;
  for (const char byte : text) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return {{"hex", hex}};
}

json strings_to_json(const std::vector<std::string>& texts) {
  json list = json::array();
  for (const auto& text : texts) list.push_back(string_to_json(text));
  return list;
}

std::string string_from_json(const json& value) {
  if (value.is_object()) return from_hex(value.at("hex").get<std::string>());
  return value.get<std::string>();
}

json spec_to_json(const JobSpec& spec) {
  json after = json::array();
  for (const After& one : spec.after) after.push_back(json::array({one.job, one.any ? "any" : "ok"}));
  json limits = json::array();
  for (const auto& limit : spec.limits)
    limits.push_back(json::array({limit.resource, limit_value(limit.soft), limit_value(limit.hard)}));
  json ranges = json::array();
  for (const IndexRange& range : spec.array) ranges.push_back(json::array({range.first, range.last, range.step}));
  return {{"array", ranges},
          {"array_limit", spec.array_limit},
          {"array_items", strings_to_json(spec.array_items)},
          {"argv", strings_to_json(spec.argv)},
          {"env", strings_to_json(spec.env)},
          {"cwd", string_to_json(spec.cwd)},
          {"name", string_to_json(spec.name)},
          {"umask", spec.umask},
          {"limits", limits},
          {"stdin", string_to_json(spec.stdin_path)},
          {"stdout", string_to_json(spec.stdout_path)},
          {"stderr", string_to_json(spec.stderr_path)},
          {"attached", spec.attached},
          {"node", spec.node},
          {"namespaces", spec.namespaces},
          {"pinned", spec.pinned},
          {"cpus", spec.cpus},
          {"memory_kib", spec.memory_kib},
          {"priority", spec.priority},
          {"exclude", spec.exclude},
          {"terminal", spec.terminal},
          {"rows", spec.rows},
          {"columns", spec.columns},
          {"piped", spec.piped},
          {"script", string_to_json(spec.script)},
          {"time_limit_s", spec.time_limit_s},
          {"retries", spec.retries},
          {"checkpoint_every_s", spec.checkpoint_every_s},
          {"hold", spec.hold},
          {"image", string_to_json(spec.image)},
          {"truncate", spec.truncate},
          {"after", after}};
}

JobSpec spec_from_json(const json& value) try {
  JobSpec spec;
  spec.argv = list_field(value, "argv");
  if (spec.argv.empty() || spec.argv[0].empty())
    throw std::invalid_argument("'argv' is empty: there is no program to run");
  spec.env = list_field(value, "env");
  spec.cwd = text_field(value, "cwd");
  if (spec.cwd.empty() || spec.cwd[0] != '/') throw std::invalid_argument("'cwd' is not an absolute path");
  spec.name = text_field(value, "name");
  if (spec.name.empty()) spec.name = spec.argv[0].substr(spec.argv[0].rfind('/') + 1);
  spec.umask = number_field(value, "umask", 022U) & 0777;
  for (const auto& limit : value.value("limits", json::array()))
    spec.limits.push_back(
        {whole_number<std::int32_t>(limit.at(0), "limits"), limit_value(limit.at(1)), limit_value(limit.at(2))});
  spec.stdin_path = text_field(value, "stdin");
  spec.stdout_path = text_field(value, "stdout");
  spec.stderr_path = text_field(value, "stderr");
  spec.attached = value.value("attached", false);
  spec.node = value.value("node", "");
  spec.namespaces = value.value("namespaces", true);
  spec.pinned = value.value("pinned", false);
  spec.cpus = number_field(value, "cpus", 1);
  if (spec.cpus < 1 || spec.cpus > kMostCpus) throw std::invalid_argument("'cpus' is not a number of PUs");
  spec.memory_kib = number_field(value, "memory_kib", std::uint64_t{0});
  spec.priority = number_field(value, "priority", 0);
  spec.exclude = value.value("exclude", std::vector<std::string>{});
  spec.terminal = value.value("terminal", false);
  spec.rows = number_field(value, "rows", std::uint16_t{0});
  spec.columns = number_field(value, "columns", std::uint16_t{0});
  spec.piped = value.value("piped", false);
  if (spec.piped && !spec.terminal) throw std::invalid_argument("'piped' is for a job with a terminal");
  if (spec.terminal && !(spec.stdin_path + spec.stdout_path + spec.stderr_path).empty())
    throw std::invalid_argument("a job with a terminal has no files for its streams");
  spec.script = text_field(value, "script");
  spec.time_limit_s = number_field(value, "time_limit_s", std::uint64_t{0});
  spec.retries = number_field(value, "retries", 0);
  if (spec.retries < 0 || spec.retries > kMostRetries)
    throw std::invalid_argument(fmt::format("'retries' is not a number from 0 to {}", kMostRetries));
  if (spec.retries > 0 && spec.terminal) throw std::invalid_argument("a job with a terminal has no retries");
  spec.checkpoint_every_s = number_field(value, "checkpoint_every_s", std::uint64_t{0});
  spec.hold = value.value("hold", false);
  spec.image = text_field(value, "image");
  spec.truncate = value.value("truncate", false);
  if (!spec.image.empty() && spec.image[0] != '/') throw std::invalid_argument("'image' is not an absolute path");
  for (const auto& one : value.value("after", json::array())) {
    const auto how = one.at(1).get<std::string>();
    if (how != "ok" && how != "any") throw std::invalid_argument("'after' must say ok or any");
    spec.after.push_back({whole_number<std::int64_t>(one.at(0), "after"), how == "any"});
  }
  for (const auto& range : value.value("array", json::array()))
    spec.array.push_back({whole_number<std::int64_t>(range.at(0), "array"),
                          whole_number<std::int64_t>(range.at(1), "array"),
                          whole_number<std::int64_t>(range.at(2), "array")});
  spec.array_limit = number_field(value, "array_limit", 0);
  if (value.contains("array_items")) spec.array_items = list_field(value, "array_items");
  check_array(spec);
  return spec;
} catch (const json::exception& error) {
  throw std::invalid_argument(fmt::format("the job's spec is not what it should be: {}", error.what()));
}

}  // namespace drover
