#include "runtime/shepherd/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "ckpt/sys/error.h"

namespace drover::shepherd {

JobTerminal::JobTerminal(WindowSize size)
    : master_(check(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), "open", "/dev/ptmx")) {
  int locked = 0;
  check(::ioctl(master_.get(), TIOCSPTLCK, &locked), "TIOCSPTLCK", "/dev/ptmx");
  resize(size);
}

UniqueFd JobTerminal::copy_of_master() const {
  return UniqueFd(check(::fcntl(master_.get(), F_DUPFD_CLOEXEC, 3), "dup", "terminal"));
}

// The job gets this very description: O_CLOEXEC would be remembered in its flags (ptm_open_peer()), and every look at
// them would find its descriptors to be closed on exec.
UniqueFd JobTerminal::open_slave() const {
  UniqueFd slave(check(::ioctl(master_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY), "TIOCGPTPEER", "terminal"));
  check(::fcntl(slave.get(), F_SETFD, FD_CLOEXEC), "F_SETFD", "terminal");
  return slave;
}

void JobTerminal::resize(WindowSize size) const {
  if (size.rows == 0 || size.columns == 0) return;
  const winsize window{size.rows, size.columns, 0, 0};
  ::ioctl(master_.get(), TIOCSWINSZ, &window);
}

pid_t JobTerminal::foreground_group() const {
  pid_t group = 0;  // asked of a master, TIOCGPGRP tells the slave's (ioctl_tty(2))
  return ::ioctl(master_.get(), TIOCGPGRP, &group) == 0 && group > 0 ? group : 0;
}

}  // namespace drover::shepherd
