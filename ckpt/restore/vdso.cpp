// The vdso at its place. Where the kernel here has another one, the program keeps the functions that it has found long
// ago at their addresses, but they jump into the kernel's.
#include "ckpt/sys/vdso.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

static bool is_vdso(const AreaState& area) { return area.kind == AreaKind::Vdso; }
static bool is_code(const AreaState& area) { return is_vdso(area) && (area.prot & PROT_EXEC) != 0; }

// ARCH_MAP_VDSO_64 maps data and code together, at the hint if that is free (arch/x86/entry/vdso/vma.c, map_vdso()).
static void map_live(HeldProcess& held, std::uint64_t hint) {
  Batch batch = held.batch();
  batch.must("ARCH_MAP_VDSO_64", SYS_arch_prctl, uapi::kArchMapVdso64, hint);
  held.run(batch);
}

void map_same_vdso(HeldProcess& held) {
  std::uint64_t start = ~0ULL;
  for (const AreaState& area : held.image.memory.areas) {
    if (is_vdso(area)) start = std::min(start, area.start);
  }
  if (start == ~0ULL) return;  // the program has unmapped it
  map_live(held, start);
  for (const Mapping& m : parse_maps(read_text(proc_path(held.pid, "maps")))) {
    if (m.path.compare(0, 2, "[v") != 0 || m.path == "[vsyscall]") continue;
    const auto same = [&](const AreaState& area) {
      return is_vdso(area) && area.start == m.start && area.end == m.end;
    };
    if (std::none_of(held.image.memory.areas.begin(), held.image.memory.areas.end(), same))
      throw SystemError("put the vdso at", fmt::format("{:#x}", start), EADDRNOTAVAIL);
  }
}

static std::uint64_t find_live(const HeldProcess& held) {
  for (const Mapping& m : parse_maps(read_text(proc_path(held.pid, "maps")))) {
    if (m.path == "[vdso]") return m.start;
  }
  throw SystemError("find the vdso of", fmt::format("process {}", held.pid), ENOENT);
}

// The old data areas hold zeros: a signal handler may have interrupted the old code, which then sees that the data have
// changed, and that there is no clock that it can read (a mode of 0, VDSO_CLOCKMODE_NONE), and asks the kernel.
void map_other_vdso(HeldProcess& held) {
  const auto& areas = held.image.memory.areas;
  const auto code = std::find_if(areas.begin(), areas.end(), is_code);
  if (code == areas.end()) return;
  Batch batch = held.batch();
  for (const AreaState& area : areas) {
    if (!is_vdso(area)) continue;
    held.make_room(batch, 1024);
    batch.must("mmap the old vdso", SYS_mmap, area.start, area.bytes(),
               is_code(area) ? PROT_READ | PROT_WRITE : area.prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
               -1, 0);
  }
  held.run(batch);
  map_live(held, 0);  // wherever there is room, now that all else is in its place
  const auto redirected = redirect_vdso(held.host.vdso, own_vdso(), find_live(held));
  if (redirected.empty() || redirected.size() != code->bytes())
    throw SystemError("redirect the vdso of", fmt::format("process {}", held.pid), ENOEXEC);
  held.memory.write(code->start, redirected);
  batch.clear();
  batch.must("mprotect the old vdso", SYS_mprotect, code->start, code->bytes(), code->prot);
  held.run(batch);
}

// Is it an address behind the first instruction of a function, where the jump lies now?
static bool inside_jump(std::uint64_t address, std::uint64_t vdso, const std::vector<VdsoFunction>& functions) {
  return std::any_of(functions.begin(), functions.end(), [&](const VdsoFunction& function) {
    return address - (vdso + function.offset) - 1 < kRedirectionBytes - 1;
  });
}

// A signal handler may have interrupted the old code just there, and would return into the middle of the jump: the
// address lies in the frame on the stack then. No call returns there.
static void check_stack(const HeldProcess& held, std::uint64_t stack, std::uint64_t end, std::uint64_t vdso,
                        const std::vector<VdsoFunction>& functions) {
  constexpr std::uint64_t kMost = 8 * 1024 * 1024, kChunk = 64 * 1024;
  std::vector<std::uint64_t> words(kChunk / sizeof(std::uint64_t));
  for (std::uint64_t at = stack & ~std::uint64_t{7}; at < std::min(end, stack + kMost); at += kChunk) {
    words.resize(std::min(kChunk, end - at) / sizeof(std::uint64_t));
    if (!held.memory.try_read(at, std::as_writable_bytes(std::span(words)))) return;
    for (const std::uint64_t word : words) {
      if (word - vdso < held.host.vdso.size() && inside_jump(word, vdso, functions))
        throw SystemError(fmt::format("go on in process {}, which a signal has interrupted in", held.pid),
                          "the vdso of another kernel", EAGAIN);
    }
  }
}

void check_old_vdso(HeldProcess& held) {
  const auto& areas = held.image.memory.areas;
  const auto code = std::find_if(areas.begin(), areas.end(), is_code);
  if (code == areas.end()) return;
  const auto functions = vdso_functions(held.host.vdso);
  for (const ThreadState& thread : held.image.threads) {
    user_regs_struct registers{};
    std::memcpy(&registers, thread.registers.data(), sizeof registers);
    for (const AreaState& area : areas) {
      if (registers.rsp - area.start < area.bytes()) check_stack(held, registers.rsp, area.end, code->start, functions);
    }
  }
}

}  // namespace drover
