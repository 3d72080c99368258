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

JobContext take_snapshot(Connection& init) {
  tell(init, Channel::Snapshot, Text{});
  const auto reply = init.receive();
  if (!reply) throw std::runtime_error("the shepherd's init is gone");
  return unpack<JobContext>(reply->payload);
}

DumpOptions dump_options(const WorkerTask& task, const JobContext& context) {
  DumpOptions options;
  for (std::size_t i = 0; i < 3; ++i) options.external.push_back({task.pipe_device, task.pipe_inodes[i], kStreams[i]});
  const std::string packed = pack(context);
  const auto bytes = std::as_bytes(std::span(packed));
  options.context.assign(bytes.begin(), bytes.end());
  options.node_cpus.assign(task.cpus.begin(), task.cpus.end());
  options.own_ipc = task.namespaces;
  options.terminal = static_cast<bool>(task.terminal);
  options.terminal_master = task.terminal.get();
  return options;
}

namespace {

StillWaiting do_task(WorkerTask task, Connection& init, StillWaiting still) {
  switch (task.work) {
    case Work::Hold:
      ::prctl(PR_SET_NAME, "drover-hold");
      return hold_job(std::move(task), init, std::move(still));
    case Work::Checkpoint:
      ::prctl(PR_SET_NAME, "drover-dump");
      return checkpoint_job(std::move(task), init, std::move(still));
    case Work::Move:
      break;
  }
  ::prctl(PR_SET_NAME, "drover-dump");
  return dump_job(std::move(task), init, std::move(still));
}

StillWaiting do_again(const Frame& frame, Connection& init, StillWaiting still) {
  auto task = unpack<WorkerTask>(frame.payload);
  if (task.work == Work::Move) {
    task.socket = init.take_fd();
    task.ring = init.take_fd();
  } else if (task.work == Work::Checkpoint) {
    task.image = init.take_fd();
  }
  task.terminal = init.take_fd();
  return do_task(std::move(task), init, std::move(still));
}

// Waits for the threads that must stay traced. Nobody else can trace them, so if something is to be done to the job
// meanwhile, it is for us to do it.
void see_out(StillWaiting still, Connection& init) {
  while (!still.lingering.wait(init.fd())) {
    auto frame = init.receive();
    if (!frame) return;  // init is gone, and its namespace with it
    if (frame->type != static_cast<std::uint16_t>(Channel::Wanted)) continue;
    tell(init, Channel::Lingering, Text{});
    frame = init.receive();
    if (frame && frame->type == static_cast<std::uint16_t>(Channel::TaskAgain))
      still = do_again(*frame, init, std::move(still));
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
    return do_task(std::move(t), init, std::move(still));
  });
}

void run_destination_worker(WorkerTask task) {
  run_worker(std::move(task), "drover-restore",
             [](WorkerTask t, Connection& init) { return restore_job(std::move(t), init); });
}

void run_start_worker(WorkerTask task) {
  run_worker(std::move(task), "drover-restore",
             [](WorkerTask t, Connection& init) { return start_of_image(std::move(t), init); });
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
