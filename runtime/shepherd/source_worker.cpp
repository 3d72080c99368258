// The source's side of a move: freeze, dump, then wait for who has won.
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <optional>

#include "ckpt/dump/dump.h"
#include "ckpt/freeze/tree.h"
#include "ckpt/sys/error.h"
#include "runtime/control/clock.h"
#include "runtime/migrate/fault.h"
#include "runtime/migrate/register.h"
#include "runtime/migrate/ring.h"
#include "runtime/shepherd/worker_parts.h"

namespace drover::shepherd {

namespace {

class SourceWorker {
 public:
  SourceWorker(WorkerTask task, Connection& init, StillWaiting still)
      : task_(std::move(task)), rank_(std::move(task_.socket)), init_(init), still_(std::move(still)) {}

  // Gives back what is still to be waited for if the job goes on here.
  StillWaiting run() {
    try {
      if (!freeze_and_dump()) return std::move(still_);
    } catch (const std::exception& error) {
      give_up(error.what());
      return std::move(still_);
    }
    fault_point("source.end-sent");
    await_verdict();
    return std::move(still_);
  }

 private:
  // False, of all three: it has been given up.
  bool freeze_and_dump();
  bool freeze();
  bool dump_image(bool last_attempt);
  void give_up(const std::string& reason);
  void thaw(const std::string& reason);
  void end_copy();
  void await_verdict();
  std::optional<Verdict> next_verdict(int timeout_ms);
  bool settle_alone();
  void stop_if_told(const Frame& frame);

  WorkerTask task_;
  Connection rank_;
  Connection& init_;
  StillWaiting still_;
  std::optional<FrozenTree> tree_;
  PhaseTimes times_;
  std::optional<RingSink> sink_;
  bool try_again_ = false;
};

// What is in the way for a moment only, such as a connection that is just being accepted, is waited for while the job
// runs.
bool SourceWorker::freeze_and_dump() {
  constexpr int kAttempts = 6;
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    if (!freeze()) return false;
    if (dump_image(attempt == kAttempts)) return true;
    if (!try_again_) return false;
    still_ = tree_->thaw();
    tree_.reset();
    const timespec moment{0, attempt * 2'000'000};
    ::nanosleep(&moment, nullptr);
  }
  return false;
}

bool SourceWorker::freeze() {
  times_.frozen_at_ns = monotonic_ns();
  Stopwatch watch;
  fault_point("source.freeze");
  auto frozen = FrozenTree::freeze(task_.root, &still_, ::getppid());  // init takes the job's orphans in
  if (const auto* refusal = std::get_if<Refusal>(&frozen)) {
    give_up(refusal->reason);
    return false;
  }
  tree_.emplace(std::move(std::get<FrozenTree>(frozen)));
  times_.freeze_ns = watch.lap();
  fault_point("source.frozen");
  return true;
}

bool SourceWorker::dump_image(bool last_attempt) {
  Stopwatch watch;
  DumpOptions options = dump_options(task_, take_snapshot(init_));
  options.compress = task_.order.compress;
  options.carry = task_.order.carry;

  // Of a dump that is refused nothing is written: the next attempt uses the same ring.
  if (!sink_)
    sink_.emplace(rank_, RingMemory(std::move(task_.ring), task_.order.ring),
                  [this](const Frame& frame) { stop_if_told(frame); });
  const DumpResult result = dump(*tree_, *sink_, options);
  try_again_ = result.refused && result.refused->passing && !last_attempt;
  if (try_again_) return false;
  if (result.refused) {
    give_up(result.refused->reason);
    return false;
  }
  times_.image_bytes = result.stats.image_bytes;
  times_.page_bytes = result.stats.page_bytes;
  times_.dump_ns = watch.lap();
  fault_point("source.dumped");

  // The order of these three is the protocol: once the end can reach the destination, it may become READY and win the
  // register, so from before that moment this copy must die rather than run if its worker dies.
  tree_->die_with_tracer();
  tell(init_, Channel::EndSent, Text{});
  sink_->finish();
  tell_rank(rank_, Type::DumpDone, pack(Dumped{times_, result.memory_files}));
  return true;
}

void SourceWorker::stop_if_told(const Frame& frame) {
  if (frame.type != static_cast<std::uint16_t>(Type::Verdict)) return;
  throw RingAborted(unpack<Verdict>(frame.payload).reason);
}

// Before END: nobody else can have the job.
void SourceWorker::give_up(const std::string& reason) {
  tell_rank(rank_, Type::WorkerFailed, pack(WorkerFailure{reason, {}}));
  thaw(reason);
}

void SourceWorker::thaw(const std::string& reason) {
  if (tree_) still_ = tree_->thaw();
  try {
    tell(init_, Channel::Thawed, ThawedHere{reason, still_.known});
  } catch (const std::exception&) {  // init's death is the job's own
  }
  tell_rank(rank_, Type::SourceThawed, pack(Text{reason}));
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

}  // namespace

StillWaiting dump_job(WorkerTask task, Connection& init, StillWaiting still) {
  return SourceWorker(std::move(task), init, std::move(still)).run();
}

}  // namespace drover::shepherd
