#include "ckpt/sys/posix_timers.h"

#include <csignal>

#include "ckpt/sys/text.h"

namespace drover {

// "signal/pid.4711", "thread/tid.4712" is written "signal/tid.4712", "none/pid.4711"
static void parse_notify(std::string_view word, PosixTimerEntry& timer) {
  const auto slash = word.find('/'), dot = word.find('.');
  if (slash == std::string_view::npos || dot == std::string_view::npos) return;
  const auto kind = word.substr(0, slash), whom = word.substr(slash + 1, dot - slash - 1);
  timer.notify = kind == "none" ? SIGEV_NONE : kind == "thread" ? SIGEV_THREAD : SIGEV_SIGNAL;
  if (whom == "tid") timer.notify = SIGEV_THREAD_ID;
  timer.target = static_cast<pid_t>(to_number(word.substr(dot + 1)).value_or(0));
}

std::vector<PosixTimerEntry> parse_posix_timers(std::string_view text) {
  std::vector<PosixTimerEntry> timers;
  for (std::string_view line; next_line(text, line);) {
    const auto key = next_word(line), word = next_word(line);
    if (key == "ID:") timers.emplace_back().id = static_cast<int>(to_number(word).value_or(0));
    if (timers.empty()) continue;
    auto& timer = timers.back();
    if (key == "signal:") {
      const auto slash = word.find('/');
      timer.signal = static_cast<int>(to_number(word.substr(0, slash)).value_or(0));
      if (slash != std::string_view::npos) timer.value = to_number(word.substr(slash + 1), 16).value_or(0);
    } else if (key == "notify:") {
      parse_notify(word, timer);
    } else if (key == "ClockID:") {
      timer.clock_id = static_cast<int>(to_signed(word).value_or(0));
    }
  }
  return timers;
}

}  // namespace drover
