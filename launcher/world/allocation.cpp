#include "launcher/world/allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace drover {

namespace {

constexpr long kMostHosts = 65536;

[[noreturn]] void refuse(std::string_view list) {
  throw std::runtime_error(fmt::format("SLURM_JOB_NODELIST {}: is no list of hosts such as node[1-3,7],gpu5", list));
}

// Up to the next comma that is in no brackets.
std::string_view take_element(std::string_view& rest) {
  int depth = 0;
  std::size_t end = 0;
  for (; end < rest.size() && (depth > 0 || rest[end] != ','); ++end)
    depth += rest[end] == '[' ? 1 : rest[end] == ']' ? -1 : 0;
  const std::string_view element = rest.substr(0, end);
  rest.remove_prefix(std::min(rest.size(), end + 1));
  return element;
}

long number_of(std::string_view text, std::string_view list) {
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || number < 0) refuse(list);
  return number;
}

// `text` holds at most one pair of brackets first; what comes behind may hold more (rack[1-2]n[1-4]).
void expand(const std::string& before, std::string_view text, std::string_view list, std::vector<std::string>& hosts) {
  const auto open = text.find('['), close = text.find(']');
  if (open == std::string_view::npos && close == std::string_view::npos) {
    hosts.push_back(before + std::string(text));
    if (hosts.size() > kMostHosts || hosts.back().empty()) refuse(list);
    return;
  }
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) refuse(list);
  const std::string prefix = before + std::string(text.substr(0, open));
  std::string_view ranges = text.substr(open + 1, close - open - 1);
  if (ranges.empty()) refuse(list);
  while (!ranges.empty()) {
    const std::string_view range = take_element(ranges);
    const auto dash = range.find('-');
    const std::string_view from = range.substr(0, dash);
    const long first = number_of(from, list),
               last = dash == std::string_view::npos ? first : number_of(range.substr(dash + 1), list);
    if (last < first || last - first >= kMostHosts) refuse(list);
    for (long number = first; number <= last; ++number)
      expand(fmt::format("{}{:0{}}", prefix, number, from.size()), text.substr(close + 1), list, hosts);
  }
}

std::vector<std::string> read_node_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(fmt::format("PBS_NODEFILE {}: {}", path, std::strerror(errno)));
  std::vector<std::string> hosts;
  for (std::string host; file >> host;)  // once for each of its processors
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  if (hosts.empty()) throw std::runtime_error(fmt::format("PBS_NODEFILE {}: there is no host in it", path));
  return hosts;
}

std::string value_of(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Allocation allocation(std::string name, const std::vector<std::string>& hosts) {
  Allocation found{std::move(name), {}};
  for (const std::string& host : hosts) found.hosts.push_back({host, 1});
  return found;
}

}  // namespace

std::vector<std::string> expand_node_list(std::string_view list) {
  std::vector<std::string> hosts;
  for (std::string_view rest = list; !rest.empty();) expand("", take_element(rest), list, hosts);
  if (hosts.empty()) refuse(list);
  return hosts;
}

std::optional<Allocation> find_allocation() {
  if (const std::string list = value_of("SLURM_JOB_NODELIST"); !list.empty())
    return allocation("Slurm job " + value_of("SLURM_JOB_ID"), expand_node_list(list));
  if (const std::string path = value_of("PBS_NODEFILE"); !path.empty())
    return allocation("PBS job " + value_of("PBS_JOBID"), read_node_file(path));
  return std::nullopt;
}

}  // namespace drover
