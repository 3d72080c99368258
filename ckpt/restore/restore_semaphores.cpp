// Values of semaphores, which processes did the last operation, and what their ends shall add: done by these processes
// themselves, since the kernel writes down who did it.
#include <fmt/format.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include <cstdlib>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

static HeldProcess* find_living(RestoredTree& tree, pid_t pid) {
  for (HeldProcess& held : tree.processes) {
    if (held.pid == pid && !held.zombie()) return &held;
  }
  return nullptr;
}

static void operate(HeldProcess& held, int id, std::span<const sembuf> operations) {
  Batch batch = held.batch();
  batch.must(fmt::format("semop on semaphores {}", id), SYS_semop, id, batch.push(std::as_bytes(operations)),
             operations.size());
  held.run(batch);
}

// All values are still 0, and 0 again afterwards.
static void adjust(RestoredTree& tree, const SemaphoreAdjustment& wanted) {
  const int id = tree.model.ipc->semaphore_sets[wanted.set].owner.id;
  const auto number = static_cast<unsigned short>(wanted.semaphore);
  const auto by = static_cast<short>(std::abs(wanted.value));
  sembuf up{number, by, IPC_NOWAIT}, down{number, static_cast<short>(-by), IPC_NOWAIT};
  (wanted.value > 0 ? down : up).sem_flg |= SEM_UNDO;
  HeldProcess* held = find_living(tree, wanted.process);
  if (held == nullptr) throw ImageError("damaged image: semaphores adjusted by an unknown process");
  operate(*held, id, std::array{up, down});
}

// What was never used keeps its time of last use, 0, that programs look at: semctl(2) sets values without that.
static void set_unused(RestoredTree& tree, int id, int number, const SemaphoreState& semaphore) {
  if (HeldProcess* held = find_living(tree, semaphore.last_process)) {
    Batch batch = held->batch();
    batch.must("SETVAL", SYS_semctl, id, number, SETVAL, semaphore.value);
    held->run(batch);
  } else if (semaphore.value != 0) {
    check(::semctl(id, number, SETVAL, semaphore.value), "SETVAL", std::to_string(id));
  }
}

// SETVAL would clear the adjustments.
static void set_used(RestoredTree& tree, int id, int number, const SemaphoreState& semaphore) {
  const auto index = static_cast<unsigned short>(number);
  std::vector<sembuf> operations{{index, static_cast<short>(semaphore.value), IPC_NOWAIT}};
  if (semaphore.value == 0) operations = {{index, 1, IPC_NOWAIT}, {index, -1, IPC_NOWAIT}};
  if (HeldProcess* held = find_living(tree, semaphore.last_process))
    operate(*held, id, operations);
  else
    check(::semop(id, operations.data(), operations.size()), "semop", std::to_string(id));
}

void restore_semaphores(RestoredTree& tree) {
  if (!tree.model.ipc) return;
  for (const SemaphoreAdjustment& adjustment : tree.model.ipc->adjustments) adjust(tree, adjustment);
  for (const SemaphoreSetState& set : tree.model.ipc->semaphore_sets) {
    for (std::size_t i = 0; i < set.semaphores.size(); ++i)
      (set.used ? set_used : set_unused)(tree, set.owner.id, static_cast<int>(i), set.semaphores[i]);
  }
}

}  // namespace drover
