// The destination's side of a move: restore, READY, win the register, resume.
#include <poll.h>
#include <unistd.h>

#include <optional>

#include "ckpt/restore/restore.h"
#include "ckpt/sys/error.h"
#include "runtime/control/clock.h"
#include "runtime/migrate/fault.h"
#include "runtime/migrate/register.h"
#include "runtime/migrate/ring.h"
#include "runtime/shepherd/worker_parts.h"

namespace drover::shepherd {

namespace {

class DestinationWorker {
 public:
  DestinationWorker(WorkerTask task, Connection& init)
      : task_(std::move(task)), rank_(std::move(task_.socket)), init_(init) {}

  StillWaiting run() {
    try {
      restore_image();
    } catch (const std::exception& error) {
      tell_rank(rank_, Type::WorkerFailed, pack(WorkerFailure{error.what(), {}}));
      return {};
    }
    if (!tree_) return {};
    try {
      if (!commit()) return {};
      return resume();
    } catch (const std::exception& error) {  // our end is what hands the job back; this only says why
      tell_rank(rank_, Type::WorkerFailed, pack(WorkerFailure{error.what(), {}}));
      throw;
    }
  }

 private:
  void restore_image();
  bool commit();
  StillWaiting resume();

  WorkerTask task_;
  Connection rank_;
  Connection& init_;
  std::optional<HeldTree> tree_;
  PhaseTimes times_;
};

void DestinationWorker::restore_image() {
  Stopwatch watch;
  RestoreOptions options;
  for (std::size_t i = 0; i < 3; ++i) options.external[kStreams[i]] = task_.stream_fds[i];
  options.node_cpus.assign(task_.cpus.begin(), task_.cpus.end());
  options.child_of_parent = true;
  options.time_namespace = task_.namespaces;
  options.terminal = true;  // if the image has one
  fault_point("destination.restore");
  RingSource source(rank_, RingMemory(std::move(task_.ring), task_.order.ring), [](const Frame& frame) {
    if (frame.type == static_cast<std::uint16_t>(Type::Verdict))
      throw RingAborted(unpack<Verdict>(frame.payload).reason);
  });
  auto restored = restore(source, options);
  if (const auto* refusal = std::get_if<Refusal>(&restored)) {
    tell_rank(rank_, Type::WorkerFailed, pack(WorkerFailure{refusal->reason, refusal->differing}));
    return;
  }
  tree_.emplace(std::move(std::get<HeldTree>(restored)));
  times_.restore_ns = watch.lap();
  for (const std::string& note : tree_->notes()) complain("note: " + note);
  fault_point("destination.restored");
}

// READY, then the register. False: the source has the job, this copy is gone.
bool DestinationWorker::commit() {
  Stopwatch watch;
  const auto& context = tree_->context();
  const std::string_view packed(reinterpret_cast<const char*>(context.data()), context.size());
  init_.send(static_cast<std::uint16_t>(Channel::ReadySent), packed, tree_->take_terminal().get());
  tell_rank(rank_, Type::Ready, pack(Text{}));
  fault_point("destination.ready-sent");
  const Owner me{task_.order.destination, "destination " + task_.order.destination};
  Stopwatch register_watch;
  for (bool said = false;;) {
    try {
      const Owner owner = claim_ownership(task_.job_dir, task_.order.epoch, me);
      times_.register_ns = register_watch.lap();
      times_.commit_ns = watch.lap();
      if (owner.node == me.node) break;
      tree_->kill();
      tell_rank(rank_, Type::LostRegister, pack(Text{owner.by}));
      return false;
    } catch (const SystemError& error) {
      if (!std::exchange(said, true)) tell_rank(rank_, Type::InDoubt, pack(Text{error.what()}));
      ::poll(nullptr, 0, 300);
    }
  }
  fault_point("destination.register-won");
  return true;
}

StillWaiting DestinationWorker::resume() {
  Stopwatch watch;
  const pid_t root = tree_->root();
  const auto made = tree_->made_files();
  StillWaiting still = tree_->resume();
  times_.resume_ns = watch.lap();
  tell(init_, Channel::Resumed, ResumedHere{root, times_, still.known, made});
  fault_point("destination.resumed");
  mark_running(task_.job_dir, task_.order.epoch);
  // While we hold the job's ends too, nobody could see it close them.
  for (const int fd : task_.stream_fds) ::close(fd);
  return still;
}

}  // namespace

StillWaiting restore_job(WorkerTask task, Connection& init) { return DestinationWorker(std::move(task), init).run(); }

}  // namespace drover::shepherd
