#include "ckpt/freeze/injected_area.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>

#include "ckpt/freeze/vfork.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

// The vdso of every process holds one, for the cases in which it must ask the kernel after all. If it has been
// unmapped, a thread that was stopped in a system call stands just behind one.
static std::uint64_t find_syscall_instruction(const FrozenProcess& process, VdsoRange range,
                                              std::span<const std::byte> vdso) {
  constexpr std::array kSyscall{std::byte{0x0f}, std::byte{0x05}};
  const auto found = std::search(vdso.begin(), vdso.end(), kSyscall.begin(), kSyscall.end());
  if (found != vdso.end()) return range.start + static_cast<std::uint64_t>(found - vdso.begin());
  for (const FrozenThread& thread : process.threads) {
    // Or at it, if the call is to be issued again.
    const std::uint64_t rip = thread.registers.rip;
    for (const std::uint64_t at : {rip - 2, rip}) {
      if (process.memory.load<std::array<std::byte, 2>>(at) == kSyscall) return at;
    }
  }
  throw SystemError("find a system call instruction in", "pid " + std::to_string(process.pid), ENOENT);
}

// The vdso ends with padding up to a page boundary: a place for code that is executable without anything being mapped.
static std::uint64_t find_padding(VdsoRange range, std::span<const std::byte> vdso) {
  constexpr std::size_t kAlignment = 16;
  const std::size_t wanted = (runner_code().size() + kAlignment - 1) / kAlignment * kAlignment;
  if (vdso.size() < wanted + kAlignment) return 0;
  const auto end = vdso.last(wanted + kAlignment);
  const auto code = runner_code();  // of a dumper that was killed
  const bool ours = std::equal(code.begin(), code.end(), end.begin() + kAlignment);
  const bool unused = std::all_of(end.begin(), end.end(), [](std::byte byte) { return byte == std::byte{0}; });
  return ours || unused ? range.start + range.bytes - wanted : 0;
}

bool is_on_its_way_home(const FrozenProcess& process) {
  constexpr std::uint64_t kPage = RemoteArea::kPageBytes;
  const auto runner = runner_code();
  std::vector<std::byte> code(runner.size());
  return std::any_of(process.threads.begin(), process.threads.end(), [&](const FrozenThread& thread) {
    return process.memory.try_read(thread.registers.rip & ~(kPage - 1), code) && std::ranges::equal(code, runner) &&
           !find_vfork_wait(process, thread);
  });
}

static SystemError is_being_undone() {
  return {"a dump of this process was killed a moment ago and is being undone", {}, EAGAIN};
}

// A signal that all threads ignore, so that it does nothing if we die while it is under way. The program's own of that
// number would be ignored too, so one that somebody blocks is the second choice (RemoteSyscalls sends it again).
static int choose_stop_signal(const FrozenProcess& process, std::span<const std::uint64_t> masks) {
  constexpr std::array kIgnored{SIGURG, SIGWINCH, SIGCHLD};
  std::uint64_t used = 0, blocked = 0;
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    const FrozenThread& thread = process.threads[i];
    const TaskStatus& status = status_of(process, thread);
    used |= status.caught | status.pending | status.shared_pending;
    // A parent in a wait of ours blocks all, so that nothing is done on its way home.
    const auto wait = find_vfork_wait(process, thread);
    blocked |= wait ? wait->mask : status.blocked | masks[i];
  }
  const auto bit = [](int signal) { return std::uint64_t{1} << (signal - 1); };
  for (const int signal : kIgnored) {
    if (((used | blocked) & bit(signal)) == 0) return signal;
  }
  // Whoever is on the way home blocks all but one, and may have that one pending.
  if (is_on_its_way_home(process)) throw is_being_undone();
  for (const int signal : kIgnored) {
    if ((used & bit(signal)) == 0) return signal;
  }
  return SIGTRAP;  // would be the program's end if we died
}

InjectedArea::InjectedArea(FrozenProcess& process, VdsoRange range) : process_(process) {
  if (range.bytes == 0) range = find_vdso(process.pid);
  std::vector<std::byte> vdso(range.bytes);
  process.memory.read(range.start, vdso);
  instruction_ = find_syscall_instruction(process, range, vdso);
  padding_ = find_padding(range, vdso);
  for (const FrozenThread& thread : process.threads) {
    if (padding_ != 0 && thread.registers.rip - padding_ < runner_code().size()) throw is_being_undone();
  }
  std::vector<std::uint64_t> masks;
  for (const FrozenThread& thread : process.threads) masks.push_back(Tracee(thread.tid).signal_mask());
  stop_signal_ = choose_stop_signal(process, masks);
  const std::size_t slots = process.threads.size();
  for (std::size_t i = 0; i < slots; ++i) {
    const FrozenThread& thread = process.threads[i];
    threads_.push_back(
        std::make_unique<RemoteSyscalls>(process.memory, thread.tid, i, stop_signal_, thread.present, masks[i]));
  }
  const long address = call(SYS_mmap, {0, RemoteArea::bytes(slots), PROT_READ | PROT_WRITE | PROT_EXEC,
                                       MAP_PRIVATE | MAP_ANONYMOUS, ~0ULL, 0});
  if (address < 0 && address > -4096)
    throw SystemError("map working memory in", "pid " + std::to_string(process.pid), static_cast<int>(-address));
  area_ = {static_cast<std::uint64_t>(address), slots};
  area_.install(process.memory);
}

InjectedArea::~InjectedArea() {
  try {
    if (area_.address != 0) call(SYS_munmap, {area_.address, RemoteArea::bytes(area_.slots), 0, 0, 0, 0});
  } catch (const std::exception&) {  // the process is gone
  }
}

std::unique_ptr<RemoteSyscalls> InjectedArea::beside_leader(pid_t tid, const Registers& present,
                                                            std::uint64_t mask) const {
  return std::make_unique<RemoteSyscalls>(process_.memory, tid, 0, stop_signal_, present, mask);
}

long InjectedArea::call(long number, const std::array<std::uint64_t, 6>& args) {
  if (padding_ != 0 && process_.memory.try_write(padding_, runner_code())) {
    const long result = leader().call_on_stack(padding_, number, args);
    process_.memory.write(padding_, std::vector<std::byte>(runner_code().size()));
    return result;
  }
  return leader().call_at(instruction_, number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

}  // namespace drover
