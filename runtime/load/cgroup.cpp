#include "runtime/load/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

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

// Calls visit("/a/b/c"), visit("/a/b"), visit("/a"), visit("").
template <class Visit>
void for_each_level(std::string path, Visit visit) {
  for (;; path.erase(path.rfind('/'))) {
    visit(path);
    if (path.empty() || path.find('/') == std::string::npos) return;
  }
}

struct Quota {
  double cpus;
  Cgroup at;
};

// Of this process's groups and those above them; of equal ones the highest, which holds the others.
std::optional<Quota> smallest_quota(const std::vector<Cgroup>& groups) {
  std::optional<Quota> smallest;
  for (const Cgroup& group : groups) {
    const ProcDir files(group.mount);
    for_each_level(group.path, [&](const std::string& path) {
      const auto quota =
          group.v2 ? parse_cpu_max(files.read(path + "/cpu.max"))
                   : parse_cfs_quota(files.read(path + "/cpu.cfs_quota_us"), files.read(path + "/cpu.cfs_period_us"));
      if (quota && (!smallest || *quota <= smallest->cpus)) smallest = Quota{*quota, {group.mount, path, group.v2}};
    });
  }
  return smallest;
}

bool exists(const Cgroup& group, const char* file) {
  return ::access((group.mount + group.path + "/" + file).c_str(), F_OK) == 0;
}

// The kernel makes some files only above all (v1: release_agent, cgroup1_base_files with CFTYPE_ONLY_ON_ROOT) or only
// below (v2: cgroup.type, CFTYPE_NOT_ON_ROOT, since 4.14). A path does not tell: a container sees its own group as "/".
bool is_root(const Cgroup& group) { return group.v2 ? !exists(group, "cgroup.type") : exists(group, "release_agent"); }

std::optional<std::uint64_t> limit_at(const ProcDir& files, const std::string& path, bool v2) {
  if (!v2) return parse_memory_limit(files.read(path + "/memory.limit_in_bytes"));
  const auto most = parse_memory_limit(files.read(path + "/memory.max"));
  const auto high = parse_memory_limit(files.read(path + "/memory.high"));  // above it tasks are slowed down
  return most && high ? std::min(*most, *high) : most ? most : high;
}

MemoryLimit usage_at(const ProcDir& files, const std::string& path, bool v2, std::uint64_t limit_kib) {
  std::string text = files.read(path + (v2 ? "/memory.current" : "/memory.usage_in_bytes"));
  std::string_view rest = text;
  const std::uint64_t used = rest.empty() ? 0 : number(take_line(rest).value_or(""));
  const std::uint64_t cache = parse_inactive_file(files.read(path + "/memory.stat"));
  return {limit_kib, (used - std::min(used, cache)) / 1024};
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

std::vector<Cgroup> find_cgroups(const ProcDir& proc, std::string_view controller) {
  const std::string groups = proc.read("self/cgroup"), mounts = proc.read("self/mounts");
  std::vector<Cgroup> found;
  for (std::string_view rest = mounts; auto line = take_line(rest);) {
    take_word(*line);  // device
    const std::string mount(take_word(*line));
    const std::string_view kind = take_word(*line), options = take_word(*line);
    const bool v2 = kind == "cgroup2";
    if (!v2 && (kind != "cgroup" || !lists(options, controller))) continue;
    const std::string path = parse_cgroup_path(groups, v2 ? "" : controller);
    if (!path.empty()) found.push_back({mount, path == "/" ? "" : path, v2});
  }
  return found;
}

std::optional<double> cpu_quota(const ProcDir& proc) {
  const auto quota = smallest_quota(find_cgroups(proc, "cpu"));
  return quota ? std::optional(quota->cpus) : std::nullopt;
}

std::optional<Cgroup> cpu_group(const ProcDir& proc) {
  const auto groups = find_cgroups(proc, "cpu");
  if (const auto quota = smallest_quota(groups)) return quota->at;
  for (const Cgroup& group : groups) {
    std::optional<Cgroup> own;  // as deep as it can be seen: the rest of the path may be outside a container's mount
    for_each_level(group.path, [&](const std::string& path) {
      const Cgroup at{group.mount, path, group.v2};
      if (!own && exists(at, "cgroup.procs")) own = at;
    });
    if (own && !is_root(*own)) return own;
  }
  return std::nullopt;
}

// The inode is the group's id in its hierarchy (kernfs); the device differs between cgroup namespaces.
std::uint64_t cgroup_id(const Cgroup& group) {
  struct stat info;
  if (::stat((group.mount + group.path).c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.st_ino) << 1 | (group.v2 ? 1 : 0);
}

std::vector<std::uint64_t> cpu_group_ids(const ProcDir& proc) {
  std::vector<std::uint64_t> ids;
  for (const Cgroup& group : find_cgroups(proc, "cpu"))
    for_each_level(group.path, [&](const std::string& path) {
      if (const auto id = cgroup_id({group.mount, path, group.v2}); id != 0) ids.push_back(id);
    });
  return ids;
}

std::optional<std::uint64_t> parse_memory_limit(std::string_view text) {
  // v1's "no limit": LONG_MAX rounded down to a page, whatever the page's size (page_counter.h, PAGE_COUNTER_MAX).
  constexpr std::uint64_t kUnlimited = 0x7fff'ffff'ffff'0000;
  const auto line = take_line(text);
  const std::uint64_t bytes = line ? number<std::uint64_t>(*line, kUnlimited) : kUnlimited;
  return bytes < kUnlimited ? std::optional(bytes / 1024) : std::nullopt;
}

std::uint64_t parse_inactive_file(std::string_view text) {
  std::uint64_t own = 0;
  while (auto line = take_line(text)) {
    const std::string_view name = take_word(*line);
    if (name == "total_inactive_file") return take_number(*line);
    if (name == "inactive_file") own = take_number(*line);
  }
  return own;
}

std::optional<MemoryLimit> memory_limit(const std::vector<Cgroup>& groups) {
  std::optional<MemoryLimit> tightest;
  for (const Cgroup& group : groups) {
    const ProcDir files(group.mount);
    for_each_level(group.path, [&](const std::string& path) {
      const auto limit_kib = limit_at(files, path, group.v2);
      if (!limit_kib) return;
      const MemoryLimit limit = usage_at(files, path, group.v2, *limit_kib);
      if (!tightest || limit.available_kib() < tightest->available_kib()) tightest = limit;
    });
  }
  return tightest;
}

Pressures cgroup_pressure(const std::vector<Cgroup>& groups) {
  Pressures out;
  for (const Cgroup& group : groups) {
    if (!group.v2) continue;
    const ProcDir files(group.mount + group.path);
    for (std::size_t i = 0; i < kResources; ++i)
      if (const auto pressure = parse_pressure(files.read("{}.pressure", resource_name(static_cast<Resource>(i)))))
        out[i] = pressure;
  }
  return out;
}

}  // namespace drover
