#include "launcher/event_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace drover {

using Json = nlohmann::json;

std::string clock_text(std::uint64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  return fmt::format("{:%T}.{:03}", fmt::localtime(seconds), time_ns / 1'000'000 % 1000);
}

std::string event_details(const Json& event, const std::function<bool(const std::string&, const Json&)>& skip) {
  std::string out;
  for (const auto& [name, value] : event.items()) {
    if (name == "time_ns" || name == "node" || name == "event") continue;
    if (value.is_string() && value.get_ref<const std::string&>().empty()) continue;
    if (skip && skip(name, value)) continue;
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", name,
                       value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return out;
}

}  // namespace drover
