#include "runtime/shepherd/worker.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <optional>

#include "ckpt/dump/dump.h"
#include "ckpt/freeze/tree.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/error.h"
#include "runtime/control/clock.h"
#include "runtime/control/connection.h"
#include "runtime/migrate/fault.h"
#include "runtime/migrate/register.h"
#include "runtime/migrate/ring.h"

namespace drover::shepherd {

namespace {

class Stopwatch {
 public:
  std::uint64_t lap() {
    const std::uint64_t now = monotonic_ns();
    return now - std::exchange(last_, now);
  }

 private:
  std::uint64_t last_ = monotonic_ns();
};

template <class T>
void tell(Connection& to, Type type, const T& message) {
  to.send(static_cast<std::uint16_t>(type), pack(message));
}
template <class T>
void tell(Connection& to, Channel type, const T& message) {
  to.send(static_cast<std::uint16_t>(type), pack(message));
}

// The rank may be gone; what is left to say to it is lost then, and nothing else may be.
void tell_rank(Connection& rank, Type type, const std::string& payload) noexcept {
  try {
    rank.send(static_cast<std::uint16_t>(type), payload);
  } catch (const std::exception&) {
  }
}

ExternalFile external(int fd, const std::string& key) {
  struct stat status {};
  check(::fstat(fd, &status), "fstat", key);
  return {status.st_dev, status.st_ino, key};
}

// ---- source ---------------------------------------------------------------------------------------------------------

class SourceWorker {
 public:
  explicit SourceWorker(WorkerTask task)
      : task_(std::move(task)), rank_(std::move(task_.socket)), init_(std::move(task_.channel)) {}

  void run() {
    try {
      freeze();
      if (!tree_) return;
      dump_image();
      if (!tree_) return;
    } catch (const std::exception& error) {
      give_up(error.what());
      return;
    }
    fault_point("source.end-sent");
    await_verdict();
  }

 private:
  void freeze();
  void dump_image();
  void give_up(const std::string& reason);
  void thaw(const std::string& reason);
  void end_copy();
  void await_verdict();
  std::optional<Verdict> next_verdict(int timeout_ms);
  bool settle_alone();
  void stop_if_told(const Frame& frame);

  WorkerTask task_;
  Connection rank_, init_;
  std::optional<FrozenTree> tree_;
  PhaseTimes times_;
};

void SourceWorker::freeze() {
  times_.frozen_at_ns = monotonic_ns();
  Stopwatch watch;
  fault_point("source.freeze");
  auto frozen = FrozenTree::freeze(task_.root);
  if (const auto* refusal = std::get_if<Refusal>(&frozen)) return give_up(refusal->reason);
  tree_.emplace(std::move(std::get<FrozenTree>(frozen)));
  times_.freeze_ns = watch.lap();
  fault_point("source.frozen");
}

void SourceWorker::dump_image() {
  Stopwatch watch;
  const std::uint64_t frozen_realtime_ns = realtime_ns();
  tell(init_, Channel::Snapshot, Text{});
  const auto reply = init_.receive();
  if (!reply) throw std::runtime_error("the shepherd's init is gone");
  auto context = unpack<JobContext>(reply->payload);
  context.frozen_realtime_ns = frozen_realtime_ns;
  const std::string packed = pack(context);

  DumpOptions options;
  options.external = {external(task_.stdin_fd, "stdin"), external(task_.stdout_fd, "stdout"),
                      external(task_.stderr_fd, "stderr")};
  const auto bytes = std::as_bytes(std::span(packed));
  options.context.assign(bytes.begin(), bytes.end());
  options.node_cpus.assign(task_.cpus.begin(), task_.cpus.end());
  options.compress = task_.order.compress;

  RingSink sink(rank_, RingMemory(std::move(task_.ring), task_.order.ring),
                [this](const Frame& frame) { stop_if_told(frame); });
  const DumpResult result = dump(*tree_, sink, options);
  if (result.refused) return give_up(result.refused->reason);
  times_.image_bytes = result.stats.image_bytes;
  times_.page_bytes = result.stats.page_bytes;
  times_.dump_ns = watch.lap();
  fault_point("source.dumped");

  // The order of these three is the protocol: once the end can reach the destination, it may become READY and win the
  // register, so from before that moment this copy must die rather than run if its worker dies.
  tree_->die_with_tracer();
  tell(init_, Channel::EndSent, Text{});
  sink.finish();
  tell_rank(rank_, Type::DumpDone, pack(times_));
}

void SourceWorker::stop_if_told(const Frame& frame) {
  if (frame.type != static_cast<std::uint16_t>(Type::Verdict)) return;
  throw RingAborted(unpack<Verdict>(frame.payload).reason);
}

// Before END: nobody else can have the job.
void SourceWorker::give_up(const std::string& reason) {
  tell_rank(rank_, Type::WorkerFailed, pack(Text{reason}));
  thaw(reason);
}

void SourceWorker::thaw(const std::string& reason) {
  if (tree_) tree_->thaw();
  try {
    tell(init_, Channel::Thawed, Text{reason});
  } catch (const std::exception&) {  // init's death is the job's own
  }
  tell_rank(rank_, Type::SourceThawed, pack(Text{reason}));
  if (tree_) tree_->linger();
}

void SourceWorker::end_copy() {
  fault_point("source.told-resumed");
  tell(init_, Channel::Moved, Text{});
  tree_->kill();
  tell_rank(rank_, Type::SourceKilled, pack(Text{}));
}

std::optional<Verdict> SourceWorker::next_verdict(int timeout_ms) {
  pollfd wait{rank_.fd(), POLLIN, 0};
  for (;;) {
    while (auto frame = rank_.buffered())
      if (frame->type == static_cast<std::uint16_t>(Type::Verdict)) return unpack<Verdict>(frame->payload);
    const int ready = ::poll(&wait, 1, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return std::nullopt;
    bool open = false;
    try {
      open = rank_.fill();
    } catch (const SystemError&) {
    }
    if (!open) return Verdict{VerdictKind::PeerLost, "droverd of this node is gone"};
  }
}

// Nobody can tell what became of the other side: the register can. True when it is decided.
bool SourceWorker::settle_alone() {
  const Owner me{task_.order.source, "source " + task_.order.source};
  const Owner owner = claim_ownership(task_.job_dir, task_.order.epoch, me);
  if (owner.node == me.node) {
    thaw("the destination did not answer and had not taken over");
    return true;
  }
  if (is_marked_running(task_.job_dir, task_.order.epoch)) {
    end_copy();
    return true;
  }
  // A hand-back has the next epoch.
  const auto next = read_owner(task_.job_dir, task_.order.epoch + 1);
  if (next && next->node == me.node) {
    thaw("handed back by " + next->by);
    return true;
  }
  return false;
}

void SourceWorker::await_verdict() {
  bool alone = false, said = false;
  for (;;) {
    const auto verdict = next_verdict(alone ? 300 : -1);
    if (verdict && verdict->kind == VerdictKind::Resumed) return end_copy();
    if (verdict && verdict->kind != VerdictKind::PeerLost && verdict->kind != VerdictKind::Abort)
      return thaw(verdict->reason);
    // Abort past END is no order any more: the register decides.
    alone = true;
    if (verdict && verdict->kind == VerdictKind::PeerLost) ::poll(nullptr, 0, 20);
    try {
      if (settle_alone()) return;
    } catch (const SystemError& error) {
      if (!std::exchange(said, true)) tell_rank(rank_, Type::InDoubt, pack(Text{error.what()}));
    }
  }
}

// ---- destination ----------------------------------------------------------------------------------------------------

class DestinationWorker {
 public:
  explicit DestinationWorker(WorkerTask task)
      : task_(std::move(task)), rank_(std::move(task_.socket)), init_(std::move(task_.channel)) {}

  void run() {
    try {
      restore_image();
    } catch (const std::exception& error) {
      tell_rank(rank_, Type::WorkerFailed, pack(Text{error.what()}));
      return;
    }
    if (!tree_) return;
    if (commit()) resume();
  }

 private:
  void restore_image();
  bool commit();
  void resume();

  WorkerTask task_;
  Connection rank_, init_;
  std::optional<HeldTree> tree_;
  PhaseTimes times_;
};

void DestinationWorker::restore_image() {
  Stopwatch watch;
  RestoreOptions options;
  options.external = {{"stdin", task_.stdin_fd}, {"stdout", task_.stdout_fd}, {"stderr", task_.stderr_fd}};
  options.node_cpus.assign(task_.cpus.begin(), task_.cpus.end());
  options.child_of_parent = true;
  options.time_namespace = task_.namespaces;
  fault_point("destination.restore");
  RingSource source(rank_, RingMemory(std::move(task_.ring), task_.order.ring), [](const Frame& frame) {
    if (frame.type == static_cast<std::uint16_t>(Type::Verdict))
      throw RingAborted(unpack<Verdict>(frame.payload).reason);
  });
  auto restored = restore(source, options);
  if (const auto* refusal = std::get_if<Refusal>(&restored)) {
    tell_rank(rank_, Type::WorkerFailed, pack(Text{refusal->reason}));
    return;
  }
  tree_.emplace(std::move(std::get<HeldTree>(restored)));
  times_.restore_ns = watch.lap();
  fault_point("destination.restored");
}

// READY, then the register. False: the source has the job, this copy is gone.
bool DestinationWorker::commit() {
  Stopwatch watch;
  const auto& context = tree_->context();
  const std::string_view packed(reinterpret_cast<const char*>(context.data()), context.size());
  init_.send(static_cast<std::uint16_t>(Channel::ReadySent), packed);
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

void DestinationWorker::resume() {
  Stopwatch watch;
  const pid_t root = tree_->root();
  tree_->resume();
  times_.resume_ns = watch.lap();
  tell(init_, Channel::Resumed, ResumedHere{root, times_});
  fault_point("destination.resumed");
  mark_running(task_.job_dir, task_.order.epoch);
  tree_->linger();
}

void prepare_worker(const WorkerTask& task, const char* name) {
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_NAME, name);
  arm_faults(task.node_dir);
}

void complain(const char* what) {
  const std::string line = std::string("worker: ") + what + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

void run_source_worker(WorkerTask task) {
  try {
    prepare_worker(task, "drover-dump");
    SourceWorker(std::move(task)).run();
  } catch (const std::exception& error) {
    complain(error.what());
    ::_exit(1);
  }
  ::_exit(0);
}

void run_destination_worker(WorkerTask task) {
  try {
    prepare_worker(task, "drover-restore");
    DestinationWorker(std::move(task)).run();
  } catch (const std::exception& error) {
    complain(error.what());
    ::_exit(1);
  }
  ::_exit(0);
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
