#include "launcher/time_text.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <optional>

#include "ckpt/sys/clocks.h"
#include "launcher/commands/commands.h"

namespace drover {

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

std::uint64_t unit_seconds(std::string_view unit) {
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  if (unit == "d") return 24 * 3600;
  return unit == "w" ? 7 * 24 * 3600 : 0;
}

std::optional<std::uint64_t> parse_age_seconds(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const double seconds = number * static_cast<double>(unit_seconds({stop, static_cast<std::size_t>(end - stop)}));
  const bool valid = error == std::errc{} && seconds >= 0 && seconds < 1e10 &&
                     unit_seconds({stop, static_cast<std::size_t>(end - stop)}) != 0;
  return valid ? std::optional(static_cast<std::uint64_t>(seconds)) : std::nullopt;
}

std::optional<std::uint64_t> parse_date_seconds(const std::string& text) {
  for (const char* format :
       {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"}) {
    std::tm local{};
    const char* end = ::strptime(text.c_str(), format, &local);
    if (end == nullptr || *end != '\0') continue;
    local.tm_isdst = -1;
    const int day = local.tm_mday;
    const std::time_t seconds = std::mktime(&local);  // takes the 31st of February for the 3rd of March
    if (seconds >= 0 && local.tm_mday == day) return static_cast<std::uint64_t>(seconds);
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t parse_time(const std::string& text, std::uint64_t now_ns) {
  if (const auto age_seconds = parse_age_seconds(text)) return now_ns - std::min(now_ns, *age_seconds * kNsPerSecond);
  if (const auto seconds = parse_date_seconds(text)) return *seconds * kNsPerSecond;
  throw UsageError(fmt::format(
      "'{}' is no time; give an age such as 30m, 2h or 3d, or a date such as 2026-11-28 or '2026-11-28 12:00'", text));
}

std::uint64_t parse_time(const std::string& text) {
  return parse_time(text, static_cast<std::uint64_t>(clock_ns(CLOCK_REALTIME)));
}

}  // namespace drover
