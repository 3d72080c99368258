// A program that blocks all signals leaves none over that could end our batches unnoticed: then one of the program's
// serves. If somebody sends the program that very one meanwhile, it must find it afterwards.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <variant>

#include "ckpt/freeze/injected_area.h"
#include "ckpt/freeze/tree.h"
#include "ckpt/freeze/tree_impl.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

using namespace drover;

namespace {

TaskStatus status_of_process(pid_t pid) { return parse_task_status(read_text(proc_path(pid, "status"))); }

bool sleeps_in_batch(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "syscall"));
  return text && text->starts_with(std::to_string(SYS_nanosleep) + " ");
}

// Lets the program work for us while it is sent `signal`, if that is not 0.
void ask_and_send(pid_t pid, int signal) {
  auto frozen = FrozenTree::freeze(pid);
  FrozenTree& tree = std::get<FrozenTree>(frozen);
  {
    InjectedArea injected(tree.impl().processes.front());
    Batch batch = injected.small_batch(0);
    batch.may(SYS_nanosleep, batch.push_value(timespec{2, 0}), 0);  // restarted when the signal has come
    if (signal == 0) batch.clear();
    batch.may(SYS_getpid);
    const RemoteSyscalls::Task task[] = {{&injected.leader(), &batch}};
    RemoteSyscalls::start(injected.area(), task);
    if (signal != 0) {
      while (!sleeps_in_batch(pid)) ::usleep(1000);
      ::kill(pid, signal);
    }
    RemoteSyscalls::finish(task);
    if (batch.result(batch.size() - 1) <= 0) std::printf("the batch has not ended\n");
  }
  const StillWaiting still = tree.thaw();
}

}  // namespace

int main() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (;;) ::pause();
  }
  const auto pending = [pid] {
    const TaskStatus status = status_of_process(pid);
    return status.pending | status.shared_pending;
  };
  const auto bit = [](int signal) { return std::uint64_t{1} << (signal - 1); };
  ask_and_send(pid, 0);
  const bool none = pending() == 0;
  ask_and_send(pid, SIGURG);
  const bool first = pending() == bit(SIGURG);
  ask_and_send(pid, SIGWINCH);  // the next that serves, now that the other is pending
  const bool both = pending() == (bit(SIGURG) | bit(SIGWINCH));
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  std::printf("none pending: %d, the first: %d, both: %d, alive until the end: %d\n", none, first, both, killed);
  return none && first && both && killed ? 0 : 1;
}
