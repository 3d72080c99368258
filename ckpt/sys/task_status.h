// What /proc/PID/status tells about a task (proc_pid_status(5)).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace drover {

struct TaskStatus {
  std::array<uid_t, 4> uid{};  // real, effective, saved, file system
  std::array<gid_t, 4> gid{};
  std::vector<gid_t> groups;
  std::vector<pid_t> namespace_pids;  // from the reader's PID namespace inwards; one entry when in the same
  unsigned umask = 022;
  unsigned threads = 1;
  pid_t tracer = 0;
  std::uint64_t pending = 0, shared_pending = 0, blocked = 0, ignored = 0, caught = 0;  // bit n-1 is signal n
  std::uint64_t cap_inheritable = 0, cap_permitted = 0, cap_effective = 0, cap_bounding = 0, cap_ambient = 0;
  bool no_new_privs = false;
  int seccomp = 0;          // 0 none, 1 strict, 2 filter
  bool thp_enabled = true;  // false: PR_SET_THP_DISABLE
};

TaskStatus parse_task_status(std::string_view text);

}  // namespace drover
