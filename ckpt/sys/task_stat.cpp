#include "ckpt/sys/task_stat.h"

#include <array>
#include <stdexcept>

#include "ckpt/sys/text.h"

namespace drover {

TaskStat parse_task_stat(std::string_view text) {
  // The name may hold blanks and parentheses: it ends at the last ")".
  const auto open = text.find('('), close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open)
    throw std::invalid_argument("not a line of /proc/PID/stat");
  TaskStat stat;
  stat.comm = text.substr(open + 1, close - open - 1);
  std::string_view rest = text.substr(close + 1);
  if (!rest.empty() && rest.back() == '\n') rest.remove_suffix(1);
  const auto state = next_word(rest);
  if (state.size() != 1) throw std::invalid_argument("no state in /proc/PID/stat");
  stat.state = state[0];

  std::array<std::int64_t, 53> field{};  // by the numbers of proc_pid_stat(5), the state being field 3
  for (std::size_t i = 4; i < field.size(); ++i) {
    const auto word = next_word(rest);
    // Field 25 (the RSS limit) and addresses may exceed a signed number.
    field[i] = to_signed(word).value_or(static_cast<std::int64_t>(to_number(word).value_or(0)));
    if (word.empty() && i <= 51) throw std::invalid_argument("too few fields in /proc/PID/stat");
  }
  const auto address = [&](std::size_t i) { return static_cast<std::uint64_t>(field[i]); };
  stat.parent = static_cast<pid_t>(field[4]);
  stat.process_group = static_cast<pid_t>(field[5]);
  stat.session = static_cast<pid_t>(field[6]);
  stat.terminal = static_cast<int>(field[7]);
  stat.foreground_group = static_cast<pid_t>(field[8]);
  stat.threads = static_cast<int>(field[20]);
  stat.start_ticks = address(22);
  stat.start_code = address(26), stat.end_code = address(27), stat.start_stack = address(28);
  stat.exit_signal = static_cast<int>(field[38]), stat.processor = static_cast<int>(field[39]);
  stat.start_data = address(45), stat.end_data = address(46), stat.start_brk = address(47);
  stat.arg_start = address(48), stat.arg_end = address(49), stat.env_start = address(50), stat.env_end = address(51);
  stat.exit_status = static_cast<int>(field[52]);
  return stat;
}

}  // namespace drover
