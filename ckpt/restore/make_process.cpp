// A blank process becomes an empty one: our working area at an address that the program does not use, nothing else
// mapped but the vdso, at the program's address.
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "ckpt/restore/blank.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

// Offsets are written before the first process enters the namespace; afterwards the kernel refuses
// (time_namespaces(7)).
void enter_time_namespace(const HostState& host, bool live) {
  const HostClocks now = read_host_clocks();
  const std::int64_t passed =
      host.boot_id == read_boot_id() ? now.boottime_ns - host.host_boottime_ns : now.realtime_ns - host.realtime_ns;
  const std::int64_t gap = std::max<std::int64_t>(0, passed);
  const std::int64_t monotonic = host.monotonic_ns + (live ? gap : 0) - now.monotonic_ns;
  const std::int64_t boottime = host.boottime_ns + gap - now.boottime_ns;
  check(::unshare(CLONE_NEWTIME), "unshare", "time namespace");
  const auto line = [](const char* clock, std::int64_t ns) {
    std::int64_t seconds = ns / 1'000'000'000, rest = ns % 1'000'000'000;
    if (rest < 0) --seconds, rest += 1'000'000'000;  // the nanoseconds must not be negative
    return fmt::format("{} {} {}\n", clock, seconds, rest);
  };
  write_text("/proc/self/timens_offsets", line("monotonic", monotonic) + line("boottime", boottime));
}

// Free in the program and in the stub, and well away from stacks that grow down.
static std::uint64_t find_free_address(const HeldProcess& held, std::size_t bytes) {
  constexpr std::uint64_t kMargin = 64 * 1024 * 1024, kLowest = 0x10000000;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> used;
  for (const AreaState& area : held.image.memory.areas) used.emplace_back(area.start, area.end);
  for (const Mapping& m : parse_maps(read_text(proc_path(held.pid, "maps")))) used.emplace_back(m.start, m.end);
  std::sort(used.begin(), used.end());
  std::uint64_t candidate = kLowest;
  for (const auto& [start, end] : used) {
    if (start > candidate && start - candidate > bytes + 2 * kMargin) break;
    candidate = std::max(candidate, (end + kMargin) & ~std::uint64_t{0xfffff});
  }
  return candidate + kMargin / 2;
}

static void make_area(HeldProcess& held) {
  // The stub was stopped before its first instruction, which is a `syscall`.
  RemoteSyscalls& leader = held.leader();
  const std::size_t slots = held.image.threads.size(), bytes = RemoteArea::bytes(slots);
  const std::uint64_t address = find_free_address(held, bytes);
  const long result =
      leader.call_at(leader.saved_registers().rip, SYS_mmap, address, bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ULL, 0);
  if (result != static_cast<long>(address)) throw SystemError("map working memory", {}, static_cast<int>(-result));
  held.area = {address, slots};
  held.area.install(held.memory);
}

// Everything but our area goes, the stub and its stack too. The file of a program can only be changed when nothing of
// the old one is mapped (prctl(2), PR_SET_MM_MAP: EBUSY).
static void unmap_stub(HeldProcess& held) {
  Batch batch = held.batch();
  for (const Mapping& m : parse_maps(read_text(proc_path(held.pid, "maps")))) {
    if (m.path == "[vsyscall]" || m.start == held.area.address) continue;
    batch.must("munmap", SYS_munmap, m.start, m.bytes());
  }
  held.run(batch);
}

// ARCH_MAP_VDSO_64 maps data and code together, at the hint if that is free (arch/x86/entry/vdso/vma.c, map_vdso()).
static void map_vdso(HeldProcess& held) {
  std::uint64_t start = ~0ULL, end = 0;
  for (const AreaState& area : held.image.memory.areas) {
    if (area.kind != AreaKind::Vdso) continue;
    start = std::min(start, area.start);
    end = std::max(end, area.end);
  }
  if (end == 0) return;  // the program has unmapped it
  Batch batch = held.batch();
  batch.must("ARCH_MAP_VDSO_64", SYS_arch_prctl, uapi::kArchMapVdso64, start);
  held.run(batch);
  for (const Mapping& m : parse_maps(read_text(proc_path(held.pid, "maps")))) {
    if (m.path.compare(0, 2, "[v") != 0 || m.path == "[vsyscall]") continue;
    const auto same = [&](const AreaState& area) {
      return area.kind == AreaKind::Vdso && area.start == m.start && area.end == m.end;
    };
    if (std::none_of(held.image.memory.areas.begin(), held.image.memory.areas.end(), same))
      throw SystemError("put the vdso at", fmt::format("{:#x}", start), EADDRNOTAVAIL);
  }
}

void make_process(HeldProcess& held, const RestoreOptions& options, const ImageModel& model) {
  const auto& descriptors = held.image.files.descriptors;
  BlankRequest request;
  request.pid = held.pid;
  request.child_of_parent = options.child_of_parent;
  request.first_fd = held.parked_fd = descriptors.empty() ? 1 : descriptors.back().fd + 2;
  for (const auto& [key, fd] : options.external) request.inherit.push_back(fd);
  for (const auto& [object, fd] : model.nameless) request.inherit.push_back(fd.get());
  held.inherited_fds = static_cast<int>(request.inherit.size());
  make_blank(request);
  held.made = true;
  held.threads.push_back(std::make_unique<RemoteSyscalls>(held.memory, held.pid, 0));
  make_area(held);
  unmap_stub(held);
  map_vdso(held);
}

}  // namespace drover
