// A main thread that had ended while others went on (pthread_exit(3)): it ends here, too.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"

namespace drover {

static void wait_until_ended(pid_t pid) {
  constexpr std::int64_t kDeadlineNs = 3'000'000'000;
  const std::int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
  while (parse_task_stat(read_text(fmt::format("/proc/{}/stat", pid))).state != 'Z') {
    if (clock_ns(CLOCK_MONOTONIC) - begin_ns > kDeadlineNs)
      throw SystemError("end the main thread of process", std::to_string(pid), ETIMEDOUT);
    const timespec moment{0, 50'000};
    ::nanosleep(&moment, nullptr);
  }
}

void end_main_thread(HeldProcess& held, RestoredTree& tree) {
  if (!held.image.process.main_thread_ended) return;
  // Who may send the process signals is told by these (kill(2)).
  Batch batch = held.batch();
  add_credentials(batch, held.image.threads.front(), parse_task_status(read_text(proc_path(held.pid, "status"))),
                  held.image.process);
  held.run(batch);
  Registers registers = held.leader().saved_registers();
  registers.rip = syscall_instruction(held);
  registers.rax = SYS_exit;
  registers.orig_rax = ~0ULL;
  registers.rdi = static_cast<std::uint64_t>(WEXITSTATUS(held.image.process.exit_status));
  held.leader().set_final(registers, ~0ULL);
  held.threads.erase(held.threads.begin());
  // By itself: as long as it was traced, its end would be told to the tracer in place of the parent, and a zombie can't
  // be let go (ptrace_check_attach()).
  const Tracee main(held.pid);
  main.set_registers(registers);
  main.detach();
  wait_until_ended(held.pid);
  held.image.threads.erase(held.image.threads.begin());
  held.main_thread_ended = true;
  const pid_t successor = held.image.threads.front().tid;
  held.memory = RemoteMemory(successor);
  tree.seen_through.emplace_back(held.pid, successor);
}

}  // namespace drover
