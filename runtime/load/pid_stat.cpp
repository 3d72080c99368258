#include "runtime/load/pid_stat.h"

#include "runtime/load/text_fields.h"

namespace drover {

std::optional<PidStat> parse_pid_stat(std::string_view text) {
  const auto open = text.find('('), close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  PidStat out;
  out.pid = number<pid_t>(text.substr(0, open), 0);
  out.name = text.substr(open + 1, close - open - 1);
  std::string_view rest = text.substr(close + 1);
  const std::string_view state = take_word(rest);
  if (out.pid <= 0 || state.size() != 1) return std::nullopt;
  out.state = state[0];
  // proc(5) numbers the fields from 1; the next one is field 4.
  for (int field = 4; field <= 24; ++field) {
    const std::string_view word = take_word(rest);
    if (word.empty()) return std::nullopt;
    switch (field) {
      case 4:
        out.parent = number<pid_t>(word, 0);
        break;
      case 14:
        out.user_ticks = number(word);
        break;
      case 15:
        out.system_ticks = number(word);
        break;
      case 16:
        out.children_user_ticks = number(word);
        break;
      case 17:
        out.children_system_ticks = number(word);
        break;
      case 20:
        out.threads = number(word);
        break;
      case 22:
        out.start_ticks = number(word);
        break;
      case 24:
        out.resident_pages = number(word);
        break;
      default:
        break;
    }
  }
  return out;
}

std::optional<ThreadSchedule> parse_thread_schedule(std::string_view text) {
  auto line = take_line(text);
  if (!line) return std::nullopt;
  const std::string_view running = take_word(*line), waiting = take_word(*line);
  if (waiting.empty()) return std::nullopt;
  return ThreadSchedule{number(running), number(waiting)};
}

}  // namespace drover
