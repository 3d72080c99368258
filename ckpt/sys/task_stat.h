// One line of /proc/PID/stat or /proc/PID/task/TID/stat (proc_pid_stat(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace drover {

struct TaskStat {
  std::string comm;
  char state = '?';
  pid_t parent = 0, process_group = 0, session = 0;
  int terminal = 0;               // device number of the controlling terminal, 0: none
  pid_t foreground_group = 0;     // of that terminal
  int threads = 0;                // those that nobody has waited for; a leader that has ended counts
  std::uint64_t start_ticks = 0;  // since boot; with the id it names one task for ever
  // Zero unless the reader may ptrace the task:
  std::uint64_t start_code = 0, end_code = 0, start_stack = 0;
  int exit_signal = 0, processor = 0;
  std::uint64_t start_data = 0, end_data = 0, start_brk = 0, arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  int exit_status = 0;  // of a zombie, as wait(2) tells it
};

// Throws std::invalid_argument.
TaskStat parse_task_stat(std::string_view text);

}  // namespace drover
