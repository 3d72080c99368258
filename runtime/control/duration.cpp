#include "runtime/control/duration.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace drover {

namespace {

constexpr std::uint64_t kDay = 24 * 3600, kMost = 3653 * kDay;

// Takes a number off the front of `text`; nothing if there is none, or one too large for any unit.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number > kMost) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<std::uint64_t> with_units(std::string_view text) {
  std::uint64_t seconds = 0, last_unit = kMost;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number || text.empty()) return std::nullopt;
    static constexpr std::pair<char, std::uint64_t> kUnits[] = {
        {'s', 1}, {'m', 60}, {'h', 3600}, {'d', kDay}, {'w', 7 * kDay}};
    const auto* const unit =
        std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) { return u.first == text[0]; });
    if (unit == std::end(kUnits) || unit->second >= last_unit) return std::nullopt;
    last_unit = unit->second;
    seconds += *number * unit->second;
    text.remove_prefix(1);
  }
  return seconds;
}

// H, H:M or H:M:S after "days-"; M:S or H:M:S without.
std::optional<std::uint64_t> with_colons(std::string_view text, bool after_days) {
  std::vector<std::uint64_t> parts;
  for (;;) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    parts.push_back(*number);
    if (text.empty()) break;
    if (text[0] != ':' || parts.size() == 3) return std::nullopt;
    text.remove_prefix(1);
  }
  if (!after_days && parts.size() == 2) parts.insert(parts.begin(), 0);
  parts.resize(3);
  // As on a clock: only the first may be more than its unit holds.
  const std::uint64_t first = parts[0], minutes = parts[1], seconds = parts[2];
  if (seconds > 59 || (minutes > 59 && first != 0) || (after_days && (first > 23 || minutes > 59))) return std::nullopt;
  return first * 3600 + minutes * 60 + seconds;
}

}  // namespace

std::optional<std::uint64_t> parse_duration_seconds(std::string_view text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  std::optional<std::uint64_t> seconds;
  std::string_view rest = text;
  const auto number = take_number(rest);
  if (!number) return std::nullopt;
  if (rest.empty()) {
    seconds = number;
  } else if (rest[0] == '-') {
    seconds = with_colons(rest.substr(1), true);
    if (seconds) *seconds += *number * kDay;
  } else if (rest[0] == ':') {
    seconds = with_colons(text, false);
  } else {
    seconds = with_units(text);
  }
  return seconds && *seconds <= kMost ? seconds : std::nullopt;
}

std::string duration_text(std::uint64_t seconds) {
  std::string text;
  for (const auto& [name, unit] : {std::pair{"d", kDay}, {"h", std::uint64_t{3600}}, {"min", std::uint64_t{60}}}) {
    if (seconds >= unit) text += fmt::format("{}{} {}", text.empty() ? "" : " ", seconds / unit, name);
    seconds %= unit;
  }
  if (seconds > 0 || text.empty()) text += fmt::format("{}{} s", text.empty() ? "" : " ", seconds);
  return text;
}

}  // namespace drover
