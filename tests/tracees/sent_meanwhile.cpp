// While a tree is being stopped, one who still runs sends a signal to one who stands still already. That one's wait, to
// which signals are let in by epoll_pwait(2) alone, was interrupted by the stop; now it must end with EINTR after all,
// once for each signal: a program that was promised this would wait for ever else.
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <variant>

#include "ckpt/freeze/tree.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

using namespace drover;

namespace {

struct Shared {
  std::atomic<int> sent, handled, interrupted;
} * shared;

char state_of(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "stat"));
  return text ? parse_task_stat(*text).state : 'X';
}

[[noreturn]] void send_when_stopped(pid_t parent) {
  for (;;) {
    while (state_of(parent) != 't') {
    }
    ++shared->sent;
    ::kill(parent, SIGUSR1);
    while (shared->interrupted < shared->sent) ::usleep(100);
  }
}

[[noreturn]] void wait_in_epoll() {
  struct sigaction action {};
  action.sa_handler = [](int) { ++shared->handled; };
  ::sigaction(SIGUSR1, &action, nullptr);
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  const pid_t self = ::getpid();
  if (::fork() == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    send_when_stopped(self);
  }
  const int epoll = ::epoll_create1(0);
  epoll_event event;
  for (;;) {
    if (::epoll_pwait(epoll, &event, 1, -1, &none) == -1 && errno == EINTR) ++shared->interrupted;
  }
}

// One may be sent late, when the tree runs again: that is answered, too.
bool all_answered() {
  const auto answered = [] { return shared->handled == shared->sent && shared->interrupted == shared->sent; };
  for (int i = 0; i < 20'000 && !answered(); ++i) ::usleep(1000);
  return answered();
}

}  // namespace

int main() {
  constexpr int kRounds = 300;
  shared =
      static_cast<Shared*>(::mmap(nullptr, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpgid(0, 0);
    wait_in_epoll();
  }
  ::setpgid(pid, pid);
  int seen = 0, round = 0;
  bool right = true;
  for (; right && round < kRounds; ++round) {
    while (state_of(pid) != 'S') ::usleep(100);
    auto frozen = FrozenTree::freeze(pid);
    auto* tree = std::get_if<FrozenTree>(&frozen);
    if (tree == nullptr) {
      std::printf("round %d: %s\n", round, std::get<Refusal>(frozen).reason.c_str());
      right = false;
      break;
    }
    const TaskStatus status = parse_task_status(read_text(proc_path(pid, "status")));
    if ((status.shared_pending >> (SIGUSR1 - 1) & 1) != 0) ++seen;
    const StillWaiting still = tree->thaw();
    right = all_answered();
  }
  std::printf("%d rounds, sent %d, while frozen %d, handled %d, EINTR %d\n", round, shared->sent.load(), seen,
              shared->handled.load(), shared->interrupted.load());
  ::kill(-pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return right && seen != 0 ? 0 : 1;
}
