#include "launcher/run/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "ckpt/sys/error.h"

namespace drover {

// By nohup(1), or by a shell's trap: then the job is to be spared, too. A blocked signal would come all the same.
static bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

ForwardedSignals::ForwardedSignals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP, SIGWINCH})
    if (!is_ignored(signal)) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, &old_);
  std::signal(SIGPIPE, SIG_IGN);
  fd_.reset(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

ForwardedSignals::~ForwardedSignals() { ::pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

std::optional<int> ForwardedSignals::take() {
  signalfd_siginfo info;
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace drover
