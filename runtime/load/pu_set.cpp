#include "runtime/load/pu_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace drover {

namespace {

constexpr unsigned kMaxPu = 1U << 16;  // more than NR_CPUS allows anywhere: a bound on what a hostile list can allocate

unsigned parse_number(std::string_view text, std::string_view whole) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > kMaxPu)
    throw std::invalid_argument(fmt::format("'{}' is not a list of CPUs such as 0-3,8", whole));
  return value;
}

}  // namespace

std::string format_pus(const PuSet& pus) {
  std::string out;
  for (std::size_t i = 0; i < pus.size();) {
    std::size_t last = i;
    while (last + 1 < pus.size() && pus[last + 1] == pus[last] + 1) ++last;
    if (!out.empty()) out += ',';
    out += last == i ? fmt::format("{}", pus[i]) : fmt::format("{}-{}", pus[i], pus[last]);
    i = last + 1;
  }
  return out;
}

PuSet parse_pus(std::string_view list) {
  PuSet pus;
  while (!list.empty() && (list.back() == '\n' || list.back() == ' ')) list.remove_suffix(1);
  for (std::string_view rest = list; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const auto dash = part.find('-');
    const unsigned first = parse_number(part.substr(0, dash), list);
    const unsigned last = dash == std::string_view::npos ? first : parse_number(part.substr(dash + 1), list);
    if (last < first) throw std::invalid_argument(fmt::format("'{}' is not a list of CPUs: {} is empty", list, part));
    for (unsigned pu = first; pu <= last; ++pu) pus.push_back(pu);
  }
  std::sort(pus.begin(), pus.end());
  pus.erase(std::unique(pus.begin(), pus.end()), pus.end());
  return pus;
}

}  // namespace drover
