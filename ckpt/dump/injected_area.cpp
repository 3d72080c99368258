#include "ckpt/dump/injected_area.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"

namespace drover {

// The vdso of every process holds one, for the cases in which it must ask the kernel after all. If it has been
// unmapped, a thread that was stopped in a system call stands just behind one.
static std::uint64_t find_syscall_instruction(const FrozenProcess& process) {
  constexpr std::array kSyscall{std::byte{0x0f}, std::byte{0x05}};
  for (const Mapping& m : parse_maps(read_text(proc_path(process.pid, "maps")))) {
    if (m.path != "[vdso]") continue;
    std::vector<std::byte> code(m.bytes());
    process.memory.read(m.start, code);
    const auto found = std::search(code.begin(), code.end(), kSyscall.begin(), kSyscall.end());
    if (found != code.end()) return m.start + static_cast<std::uint64_t>(found - code.begin());
  }
  for (const FrozenThread& thread : process.threads) {
    const std::uint64_t before = thread.registers.rip - 2;
    if (process.memory.load<std::array<std::byte, 2>>(before) == kSyscall) return before;
  }
  throw SystemError("find a system call instruction in", "pid " + std::to_string(process.pid), ENOENT);
}

InjectedArea::InjectedArea(FrozenProcess& process) : instruction_(find_syscall_instruction(process)) {
  for (const FrozenThread& thread : process.threads)
    threads_.push_back(std::make_unique<RemoteSyscalls>(process.memory, thread.tid));
  const std::size_t slots = process.threads.size();
  const long address = leader().call_at(instruction_, SYS_mmap, 0, RemoteArea::bytes(slots),
                                        PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, ~0ULL, 0);
  if (address < 0 && address > -4096)
    throw SystemError("map working memory in", "pid " + std::to_string(process.pid), static_cast<int>(-address));
  area_ = {static_cast<std::uint64_t>(address), slots};
  area_.install(process.memory);
}

InjectedArea::~InjectedArea() {
  try {
    if (area_.address != 0) leader().call_at(instruction_, SYS_munmap, area_.address, RemoteArea::bytes(area_.slots));
  } catch (const std::exception&) {  // the process is gone
  }
}

}  // namespace drover
