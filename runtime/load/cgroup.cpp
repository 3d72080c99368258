#include "runtime/load/cgroup.h"

#include <algorithm>

#include "runtime/load/text_fields.h"

namespace drover {

namespace {

bool lists(std::string_view names, std::string_view wanted) {
  while (!names.empty()) {
    const auto comma = names.find(',');
    if (names.substr(0, comma) == wanted) return true;
    names = comma == std::string_view::npos ? std::string_view{} : names.substr(comma + 1);
  }
  return false;
}

std::optional<double> ratio(std::string_view quota, std::string_view period) {
  const auto part = number<double>(quota, -1), whole = number<double>(period, 0);
  return part > 0 && whole > 0 ? std::optional(part / whole) : std::nullopt;
}

// The quota of `path` below the mount point and of each group above it.
std::optional<double> smallest_quota(const std::string& mount, std::string path, bool v2) {
  const ProcDir files(mount);
  std::optional<double> smallest;
  for (;; path.erase(path.rfind('/'))) {
    const auto quota =
        v2 ? parse_cpu_max(files.read(path + "/cpu.max"))
           : parse_cfs_quota(files.read(path + "/cpu.cfs_quota_us"), files.read(path + "/cpu.cfs_period_us"));
    if (quota) smallest = std::min(smallest.value_or(*quota), *quota);
    if (path.empty() || path.find('/') == std::string::npos) return smallest;
  }
}

}  // namespace

std::optional<double> parse_cpu_max(std::string_view text) {
  auto line = take_line(text);
  if (!line) return std::nullopt;
  const std::string_view quota = take_word(*line);
  return ratio(quota, take_word(*line));
}

std::optional<double> parse_cfs_quota(std::string_view quota, std::string_view period) { return ratio(quota, period); }

std::string parse_cgroup_path(std::string_view text, std::string_view controller) {
  while (auto line = take_line(text)) {  // "9:cpu,cpuacct:/path", v2: "0::/path"
    const auto first = line->find(':');
    const auto second = first == std::string_view::npos ? first : line->find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view names = line->substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : lists(names, controller)) return std::string(line->substr(second + 1));
  }
  return {};
}

std::optional<double> cpu_quota(const ProcDir& proc) {
  const std::string groups = proc.read("self/cgroup"), mounts = proc.read("self/mounts");
  std::optional<double> smallest;
  for (std::string_view rest = mounts; auto line = take_line(rest);) {
    take_word(*line);  // device
    const std::string mount(take_word(*line));
    const std::string_view kind = take_word(*line), options = take_word(*line);
    const bool v2 = kind == "cgroup2";
    if (!v2 && (kind != "cgroup" || !lists(options, "cpu"))) continue;
    const std::string path = parse_cgroup_path(groups, v2 ? "" : "cpu");
    if (path.empty()) continue;
    const auto quota = smallest_quota(mount, path == "/" ? "" : path, v2);
    if (quota) smallest = std::min(smallest.value_or(*quota), *quota);
  }
  return smallest;
}

}  // namespace drover
