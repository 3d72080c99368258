#include "runtime/shepherd/worker.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ckpt/sys/error.h"
#include "ckpt/sys/working_memory.h"
#include "runtime/migrate/fault.h"
#include "runtime/migrate/register.h"
#include "runtime/shepherd/worker_parts.h"

namespace drover::shepherd {

void complain(const std::string& what) {
  const std::string line = "worker: " + what + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

namespace {

StillWaiting dump_again(const Frame& frame, Connection& init, StillWaiting still) {
  auto task = unpack<WorkerTask>(frame.payload);
  task.socket = init.take_fd();
  task.ring = init.take_fd();
  task.terminal = init.take_fd();
  ::prctl(PR_SET_NAME, "drover-dump");
  return dump_job(std::move(task), init, std::move(still));
}

// Waits for the threads that must stay traced. Nobody else can trace them, so if the job is to be moved meanwhile, it
// is for us to dump it.
void see_out(StillWaiting still, Connection& init) {
  while (!still.lingering.wait(init.fd())) {
    auto frame = init.receive();
    if (!frame) return;  // init is gone, and its namespace with it
    if (frame->type != static_cast<std::uint16_t>(Channel::Wanted)) continue;
    tell(init, Channel::Lingering, Text{});
    frame = init.receive();
    if (frame && frame->type == static_cast<std::uint16_t>(Channel::DumpAgain))
      still = dump_again(*frame, init, std::move(still));
  }
}

template <class Work>
[[noreturn]] void run_worker(WorkerTask task, const char* name, Work&& work) {
  try {
    prepare_working_memory();
    ::signal(SIGPIPE, SIG_IGN);
    ::prctl(PR_SET_NAME, name);
    arm_faults(task.node_dir);
    Connection init(std::move(task.channel));
    see_out(work(std::move(task), init), init);
  } catch (const std::exception& error) {
    complain(error.what());
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

void run_source_worker(WorkerTask task) {
  run_worker(std::move(task), "drover-dump", [](WorkerTask t, Connection& init) {
    StillWaiting still;
    still.known = t.known;
    return dump_job(std::move(t), init, std::move(still));
  });
}

void run_destination_worker(WorkerTask task) {
  run_worker(std::move(task), "drover-restore",
             [](WorkerTask t, Connection& init) { return restore_job(std::move(t), init); });
}

namespace {
template <class F>
auto until_reached(F&& action) {
  for (;;) {
    try {
      return action();
    } catch (const SystemError& error) {
      complain(error.what());
      ::poll(nullptr, 0, 500);
    }
  }
}
}  // namespace

void run_handback(const std::string& job_dir, std::int64_t from, const std::string& source,
                  const std::string& destination) {
  const Owner back{source, "init of " + destination};
  const Owner owner = until_reached([&] { return claim_ownership(job_dir, from, back); });
  if (owner.node != source) until_reached([&] { return claim_ownership(job_dir, from + 1, back); });
  ::_exit(0);
}

void run_settle(const std::string& job_dir, std::int64_t epoch, const std::string& source) {
  // The destination's copy is the only one that can still live: it gets the time to win.
  for (int i = 0; i < 100 && !until_reached([&] { return read_owner(job_dir, epoch); }); ++i) ::poll(nullptr, 0, 100);
  const Owner owner = until_reached([&] { return claim_ownership(job_dir, epoch, {source, "init of " + source}); });
  ::_exit(owner.node == source ? 0 : 1);
}

}  // namespace drover::shepherd
