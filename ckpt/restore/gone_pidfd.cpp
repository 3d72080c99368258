#include "ckpt/restore/gone_pidfd.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "ckpt/sys/error.h"

namespace drover {

// Without an exit signal it stays until we wait for it, and nobody hears of its end (do_notify_parent()).
UniqueFd make_gone_pidfd(const OpenFileState& file) {
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr));
  check(child, "clone", "process for a pidfd");
  if (child == 0) ::_exit(0);
  const int flags = file.flags & (O_NONBLOCK | O_EXCL);  // PIDFD_THREAD is O_EXCL, Linux >= 6.9
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, child, flags)));
  const int error = errno;
  while (::waitpid(child, nullptr, __WALL) < 0) {
    if (errno != EINTR) throw SystemError("wait for", "process for a pidfd", errno);
  }
  if (!fd) throw SystemError("pidfd_open", "process that is gone", error);
  return fd;
}

}  // namespace drover
