// Adjustments of semaphores (semadj), which the kernel shows nowhere. It does tell, though, whether one more operation
// with SEM_UNDO would bring an adjustment out of its range: ERANGE. So operations are tried that can't succeed, since
// their last one would block: an array of operations is done as a whole or not at all (semop(2)), and one that fails
// changes neither values nor adjustments, times or the last process (ipc/sem.c, perform_atomic_semop_slow()).
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>

#include "ckpt/dump/ipc.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/tasks.h"

namespace drover {

static constexpr int kMost = 32767;  // SEMVMX and SEMAEM of the kernel: adjustments are from -kMost - 1 to kMost

namespace {

class AdjustmentFinder {
 public:
  AdjustmentFinder(InjectedArea& injected, const SemaphoreSetState& set, std::size_t index)
      : injected_(injected),
        id_(set.owner.id),
        number_(static_cast<unsigned short>(index)),
        value_(set.semaphores[index].value) {}

  // Throws SystemError if the process may not use the set.
  int find() {
    if (exceeds({up(kMost - value_), undoable(-kMost), up(-kMost)})) return find_positive();
    if (exceeds({up(-value_), undoable(kMost), up(-kMost), undoable(1), zero()})) return find_negative();
    return 0;
  }

 private:
  sembuf up(int by) const { return {number_, static_cast<short>(by), IPC_NOWAIT}; }
  sembuf undoable(int by) const { return {number_, static_cast<short>(by), IPC_NOWAIT | SEM_UNDO}; }
  sembuf zero() const { return {number_, 0, IPC_NOWAIT}; }

  // Taking `by` makes the adjustment `by` larger.
  int find_positive() {
    return kMost - largest([this](int by) { return exceeds({up(kMost - value_), undoable(-by), up(-kMost)}); });
  }
  int find_negative() {
    return largest([this](int by) { return exceeds({up(-value_), undoable(by), zero()}); }) - kMost - 1;
  }

  // The largest number that does not exceed the range; 0 never does.
  static int largest(const std::function<bool(int)>& exceeds) {
    int fine = 0, too_much = kMost + 1;
    while (too_much - fine > 1) {
      const int middle = fine + (too_much - fine) / 2;
      (exceeds(middle) ? too_much : fine) = middle;
    }
    return fine;
  }

  bool exceeds(std::vector<sembuf> operations) {
    // An operation of 0 waits for zero.
    if (operations.front().sem_op == 0) operations.erase(operations.begin());
    Batch batch = injected_.area().main_batch();
    const auto call = batch.may(SYS_semop, id_, batch.push(std::as_bytes(std::span(operations))), operations.size());
    injected_.leader().run(injected_.area(), batch);
    const long result = batch.result(call);
    if (result != -ERANGE && result != -EAGAIN)
      throw SystemError("semop", fmt::format("semaphores {}", id_), static_cast<int>(-result));
    return result == -ERANGE;
  }

  InjectedArea& injected_;
  std::int32_t id_;
  unsigned short number_;
  int value_;
};

}  // namespace

// A list of adjustments is made when the first thread is, or with the first SEM_UNDO. We have none ourselves.
static bool has_list(pid_t tid) { return ::syscall(SYS_kcmp, ::getpid(), tid, KCMP_SYSVSEM, 0, 0) != 0; }

Or<std::vector<SemaphoreAdjustment>> find_adjustments(const FrozenProcess& process, InjectedArea& injected,
                                                      std::span<const SemaphoreSetState> sets) {
  std::vector<SemaphoreAdjustment> found;
  if (sets.empty()) return found;
  for (const FrozenThread& thread : process.threads) {
    if (has_list(thread.tid) && ::syscall(SYS_kcmp, task_of(process.pid), thread.tid, KCMP_SYSVSEM, 0, 0) != 0)
      return Refusal{fmt::format("thread {} has semaphore adjustments of its own", thread.tid)};
  }
  if (!has_list(task_of(process.pid))) return found;
  for (std::size_t set = 0; set < sets.size(); ++set) {
    if (!sets[set].used) continue;  // SEM_UNDO is an operation
    try {
      for (std::size_t i = 0; i < sets[set].semaphores.size(); ++i) {
        const int value = AdjustmentFinder(injected, sets[set], i).find();
        if (value < -kMost) return Refusal{fmt::format("process {} has adjusted a semaphore too far", process.pid)};
        if (value != 0)
          found.push_back({process.pid, static_cast<std::uint32_t>(set), static_cast<std::uint32_t>(i), value});
      }
    } catch (const SystemError& error) {
      if (error.error() != EACCES) throw;  // it can't have adjusted what it may not use
    }
  }
  return found;
}

}  // namespace drover
