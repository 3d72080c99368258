#include "launcher/event_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace drover {

using Json = nlohmann::json;

std::string clock_text(std::uint64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  return fmt::format("{:%T}.{:03}", fmt::localtime(seconds), time_ns / 1'000'000 % 1000);
}

std::uint64_t event_time_ns(const Json& event) {
  const double ahead_ns = event.value("clock_ahead_ms", 0.0) * 1e6;
  return event.value("time_ns", std::uint64_t{0}) - static_cast<std::uint64_t>(static_cast<std::int64_t>(ahead_ns));
}

// A long list by its ends.
static std::string value_text(const Json& value) {
  constexpr std::size_t kLong = 8;
  if (value.is_array() && value.size() > kLong)
    return fmt::format("[{},...,{}] ({})", value.front().dump(), value.back().dump(), value.size());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string event_details(const Json& event, std::string_view besides) {
  constexpr std::string_view kLeftOut[] = {"time_ns", "clock_ahead_ms", "node", "event", "spec", "input", "output"};
  std::string out;
  for (const auto& [name, value] : event.items()) {
    if (name == besides || std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut)) continue;
    if (value.is_string() && value.get_ref<const std::string&>().empty()) continue;
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", name, value_text(value));
  }
  return out;
}

}  // namespace drover
