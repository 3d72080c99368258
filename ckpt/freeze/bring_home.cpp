#include "ckpt/freeze/bring_home.h"

#include <fmt/format.h>
#include <sys/ptrace.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "ckpt/freeze/process_freezer.h"
#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/freeze/vfork.h"

namespace drover {

// Of the copy of the runner in which the thread stands; 0: in none. It lies in one page (RemoteArea, or the padding of
// the vdso).
static std::uint64_t find_runner(const RemoteMemory& memory, std::uint64_t at) {
  constexpr std::uint64_t kPage = RemoteArea::kPageBytes;
  std::array<std::byte, kPage> page{};
  if (!memory.try_read(at & ~(kPage - 1), page)) return 0;
  const auto code = runner_code();
  const auto found = std::search(page.begin(), page.end(), code.begin(), code.end());
  const std::uint64_t start = (at & ~(kPage - 1)) + static_cast<std::uint64_t>(found - page.begin());
  return found != page.end() && at - start < code.size() ? start : 0;
}

// How many words of the way home lie below `rsp`, by what has been executed: pop takes one or two bytes of code, with
// the prefix of the registers from r8 on.
static std::size_t count_popped(std::size_t offset) {
  constexpr std::byte kPrefix{0x41}, kPop{0x58}, kLastPop{0x5f};
  const auto code = runner_code();
  std::size_t popped = 0;
  const auto is_pop = [&](std::size_t at) { return code[at] >= kPop && code[at] <= kLastPop; };
  std::size_t at = runner_first_pop_offset();
  for (; at < offset; ++popped) {
    if (code[at] == kPrefix) ++at;
    if (!is_pop(at++)) return offsetof(Registers, rip) / sizeof(std::uint64_t);  // past orig_rax
  }
  return popped;
}

// With the signal that it sends itself it is done; it goes no further.
static std::optional<Refusal> finish_batch(FrozenThread& thread) {
  const Tracee tracee(thread.tid);
  const auto end_signal = static_cast<int>(thread.present.r13);
  for (;;) {
    tracee.resume(PTRACE_CONT);
    const auto stop = tracee.wait_for(kStopDeadlineNs);
    if (!stop) return Refusal{fmt::format("thread {} does not finish what a killed dumper has begun", thread.tid)};
    if (stop->exited()) throw TraceeGone(fmt::format("thread {} has ended", thread.tid));
    if (stop->event() == 0 && stop->signal() == end_signal) break;
  }
  thread.present = tracee.registers();
  return std::nullopt;
}

std::optional<Refusal> bring_home(FrozenProcess& process) {
  if (process.stopped_by == 0) return std::nullopt;
  for (FrozenThread& thread : process.threads) {
    const std::uint64_t runner = thread.stopped ? find_runner(process.memory, thread.present.rip) : 0;
    if (runner == 0 || find_vfork_wait(process, thread)) continue;
    if (thread.present.rip - runner < runner_home_offset()) {
      if (auto refusal = finish_batch(thread)) return refusal;
    }
    const std::size_t popped = count_popped(thread.present.rip - runner);
    const auto home = process.memory.load<WayHome>(thread.present.rsp - popped * sizeof(std::uint64_t) -
                                                   offsetof(WayHome, registers));
    // The mask first: see RemoteSyscalls::set_off().
    const Tracee tracee(thread.tid);
    tracee.set_signal_mask(home.mask);
    tracee.set_registers(home.registers);
    thread.present = home.registers;
  }
  return std::nullopt;
}

}  // namespace drover
