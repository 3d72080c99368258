// A blank process becomes the tree's root, empty: our working area at an address that no process of the tree uses, the
// tree's shared memory behind it, and nothing else mapped. All others inherit that.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>

#include "ckpt/restore/blank.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/restore/huge_pages.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"

namespace drover {

// Offsets are written before the first process enters the namespace; afterwards the kernel refuses
// (time_namespaces(7)).
void enter_time_namespace(const HostState& host, bool live) {
  const HostClocks now = read_host_clocks();
  const std::int64_t passed =
      is_this_boot(host.boot_id) ? now.boottime_ns - host.host_boottime_ns : now.realtime_ns - host.realtime_ns;
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

// Free in all programs, and well away from stacks that grow down.
static std::uint64_t find_free_address(const RestoredTree& tree, std::size_t bytes) {
  constexpr std::uint64_t kMargin = 64 * 1024 * 1024, kLowest = 0x10000000;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> used;
  for (const ProcessImage& image : tree.model.processes) {
    for (const AreaState& area : image.memory.areas) used.emplace_back(area.start, area.end);
  }
  std::sort(used.begin(), used.end());
  std::uint64_t candidate = kLowest;
  for (const auto& [start, end] : used) {
    if (start > candidate && start - candidate > bytes + 2 * kMargin) break;
    candidate = std::max(candidate, (end + kMargin) & ~std::uint64_t{0xfffff});
  }
  return candidate + kMargin / 2;
}

static void measure_shared_memory(RestoredTree& tree) {
  for (const ProcessImage& image : tree.model.processes) {
    for (const AreaState& area : image.memory.areas) {
      if (area.kind == AreaKind::SystemV) {
        const SegmentState& segment = tree.model.ipc->segments[area.file];
        tree.segments[SegmentKey::of(area)] = {0, segment.mapped_bytes(), segment.huge_shift};
      }
      if (area.kind != AreaKind::SharedAnonymous) continue;
      SharedObject& object = tree.shared_memory[area.file];
      object.bytes = std::max(object.bytes, area.offset + area.bytes());
      object.huge_shift = huge_shift_of(area);
      object.reserved |= (area.flags & kAreaNoReserve) == 0;
    }
  }
}

static void place_area(RestoredTree& tree) {
  std::size_t slots = 1;
  for (const ProcessImage& image : tree.model.processes) slots = std::max(slots, image.threads.size());
  measure_shared_memory(tree);
  std::size_t all = RemoteArea::bytes(slots);
  for (const auto& [number, object] : tree.shared_memory) all += object.bytes + object.alignment();
  for (const auto& [key, segment] : tree.segments) all += segment.bytes + segment.alignment();
  tree.root().area = {find_free_address(tree, all), slots};
}

// Everything but our area goes, the stub's page and its stack too. The file of a program can only be changed when
// nothing of the old one is mapped (prctl(2), PR_SET_MM_MAP: EBUSY).
static void unmap_stub(HeldProcess& held) {
  Batch batch = held.batch();
  for (const Mapping& m : parse_maps(read_text(proc_path(held.pid, "maps")))) {
    if (m.path == "[vsyscall]" || m.start == held.area.address) continue;
    batch.must("munmap", SYS_munmap, m.start, m.bytes());
  }
  // Inherited from whoever started us. With SIGCHLD ignored no zombie could be made.
  struct KernelAction {
    std::uint64_t handler, flags, restorer, mask;
  };
  batch.must("rt_sigaction", SYS_rt_sigaction, SIGCHLD, batch.push_value(KernelAction{}), 0, 8);
  held.run(batch);
}

static void map_shared_memory(RestoredTree& tree) {
  HeldProcess& root = tree.root();
  Batch batch = root.batch();
  std::uint64_t next = root.area.address + RemoteArea::bytes(root.area.slots);
  const auto place = [&next](SharedObject& object) {
    object.address = (next + object.alignment() - 1) / object.alignment() * object.alignment();
    next = object.address + object.bytes;
  };
  for (auto& [number, object] : tree.shared_memory) {
    root.make_room(batch, 1024);
    place(object);
    batch.must("mmap shared memory", SYS_mmap, object.address, object.bytes, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | huge_page_flags(object.huge_shift) |
                   (object.huge_shift != 0 && !object.reserved ? MAP_NORESERVE : 0),
               -1, 0);
  }
  for (auto& [key, segment] : tree.segments) {
    root.make_room(batch, 1024);
    place(segment);
    if (segment.huge_shift != 0) continue;  // each process attaches it itself, see map_memory.cpp
    const std::int32_t id = tree.model.ipc->segments[key.index].owner.id;
    batch.must(fmt::format("shmat segment {}", id), SYS_shmat, id, segment.address, key.writable ? 0 : SHM_RDONLY);
  }
  root.run(batch);
}

void make_root(RestoredTree& tree, const RestoreOptions& options) {
  int last_fd = 0;
  for (const ProcessImage& image : tree.model.processes) {
    if (!image.files.descriptors.empty()) last_fd = std::max(last_fd, image.files.descriptors.back().fd);
  }
  place_area(tree);
  BlankRequest request;
  HeldProcess& root = tree.root();
  request.pid = root.pid;
  request.memory = root.area.address;
  request.memory_bytes = RemoteArea::bytes(root.area.slots);
  request.child_of_parent = options.child_of_parent;
  request.first_fd = last_fd + 2;
  for (const UniqueFd& fd : tree.files.descriptions()) request.inherit.push_back(fd.get());
  for (const UniqueFd& fd : tree.files.objects()) request.inherit.push_back(fd.get());
  for (const RestoredTerminal& terminal : tree.files.terminals()) request.inherit.push_back(terminal.slave.get());
  for (HeldProcess& held : tree.processes) {
    held.parked_fd = request.first_fd;
    held.objects_fd = request.first_fd + static_cast<int>(tree.files.descriptions().size());
    held.terminals_fd = held.objects_fd + static_cast<int>(tree.files.objects().size());
    held.free_fd = request.first_fd + static_cast<int>(request.inherit.size());
  }
  make_blank(request);
  root.made = true;
  // Inherited by all that it makes.
  if (tree.has_filters()) Tracee(root.pid).set_options(kTraceOptions | PTRACE_O_SUSPEND_SECCOMP);
  root.threads.push_back(std::make_unique<RemoteSyscalls>(root.memory, root.pid, 0));
  root.area.install(root.memory);
  unmap_stub(root);
  map_shared_memory(tree);
  // Of a session that it is not the leader of, it is in ours.
  const std::int32_t session = root.image.process.session;
  if (!tree.has_process(session)) take_controlling_terminal(root, tree.model.open_files, session);
}

}  // namespace drover
