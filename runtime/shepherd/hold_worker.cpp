// `drover hold`: the tree is stopped and stays so until init says otherwise. No droverd takes part, so that a held job
// outlives it.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ckpt/freeze/tree.h"
#include "ckpt/sys/error.h"
#include "runtime/migrate/fault.h"
#include "runtime/shepherd/worker_parts.h"

namespace drover::shepherd {

namespace {

// Who is killed while we trace it is a zombie until we have taken it, and its parent does not hear of its end.
class Dead {
 public:
  Dead() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGCHLD);
    check(::sigprocmask(SIG_BLOCK, &set, &before_), "sigprocmask");
    fd_.reset(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
    take();  // who died before
  }
  ~Dead() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  Dead(const Dead&) = delete;
  Dead& operator=(const Dead&) = delete;
  int fd() const { return fd_.get(); }
  void take() const {
    signalfd_siginfo info;
    while (::read(fd_.get(), &info, sizeof info) == sizeof info) {
    }
    int status = 0;
    while (::waitpid(-1, &status, WNOHANG | __WALL) > 0) {
    }
  }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

void checkpoint_held(FrozenTree& tree, const Frame& frame, Connection& init) {
  auto task = unpack<WorkerTask>(frame.payload);
  task.image = init.take_fd();
  task.terminal = init.take_fd();
  CheckpointDone done;
  try {
    done = write_checkpoint(tree, task, init).done;
    sync_image(task, done);
  } catch (const std::exception& error) {
    done.error = error.what();
  }
  tell(init, Channel::CheckpointDone, done);
}

// False: init is gone.
bool wait_for_release(FrozenTree& tree, Connection& init) {
  const Dead dead;
  for (;;) {
    while (const auto frame = init.buffered()) {
      if (frame->type == static_cast<std::uint16_t>(Channel::Release)) return true;
      if (frame->type == static_cast<std::uint16_t>(Channel::Checkpoint)) checkpoint_held(tree, *frame, init);
    }
    pollfd wait[] = {{init.fd(), POLLIN, 0}, {dead.fd(), POLLIN, 0}};
    if (::poll(wait, 2, -1) < 0 && errno != EINTR) throw SystemError("poll", "init", errno);
    if (wait[1].revents != 0) dead.take();
    if (wait[0].revents != 0 && !init.fill()) return false;
  }
}

}  // namespace

StillWaiting hold_job(WorkerTask task, Connection& init, StillWaiting still) {
  auto frozen = FrozenTree::freeze(task.root, &still, ::getppid());  // init takes the job's orphans in
  if (const auto* refusal = std::get_if<Refusal>(&frozen)) {
    tell(init, Channel::Thawed, ThawedHere{refusal->reason, still.known});
    return still;
  }
  auto& tree = std::get<FrozenTree>(frozen);
  tell(init, Channel::Held, Text{});
  fault_point("hold.held");
  const bool released = wait_for_release(tree, init);
  still = tree.thaw();
  if (released) tell(init, Channel::Thawed, ThawedHere{"", still.known});
  return still;
}

}  // namespace drover::shepherd
