#include "runtime/load/calibration/experiment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "ckpt/sys/error.h"
#include "runtime/load/calibration/limited_group.h"
#include "runtime/load/host_files.h"
#include "runtime/load/sampler.h"

namespace drover {

namespace {

constexpr double kFast = std::numeric_limits<double>::infinity();
constexpr std::uint64_t kMiB = 1 << 20;

std::string why_no_disk(const std::string& directory, std::uint64_t bytes) {
  struct statfs type;
  if (::statfs(directory.c_str(), &type) != 0) return fmt::format("{}: {}", directory, error_text(errno));
  if (type.f_type == TMPFS_MAGIC || type.f_type == RAMFS_MAGIC)
    return fmt::format("{} is in memory, not on a disk; choose another with --directory", directory);
  if (static_cast<std::uint64_t>(type.f_bavail) * static_cast<std::uint64_t>(type.f_bsize) < 4 * bytes)
    return fmt::format("{} has less than {} MiB free; choose another with --directory", directory, 4 * bytes / kMiB);
  return {};
}

// Written to the disk as a whole, and in no cache.
DiskFile make_file(const std::string& directory, std::uint64_t bytes, bool direct, const Interruptible& wait) {
  DiskFile file{nameless_file(directory), bytes, false};
  const std::string chunk(kChunkBytes, '\x5a');
  for (std::uint64_t done = 0; done < bytes; done += chunk.size()) {
    check(::pwrite(file.fd.get(), chunk.data(), chunk.size(), static_cast<off_t>(done)), "write to", directory);
    if (done % (4 * kMiB) == 0) wait.sleep(std::chrono::nanoseconds::zero());
  }
  check(::fsync(file.fd.get()), "fsync in", directory);
  ::posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (direct) file.direct = ::fcntl(file.fd.get(), F_SETFL, O_DIRECT) == 0;
  return file;
}

// prepare() for a step that may throw: what can't be made is a reason, not an end.
template <class Make>
std::string attempt(Make make) {
  try {
    return make();
  } catch (const SystemError& error) {
    return error.what();
  }
}

Experiment processor(const Share& share) {
  return {.load = "busy programs",
          .factors = {Factor::RunQueue, Factor::CpuShare},
          .levels = cpu_levels(share.capacity),
          .prepare = {},
          .start =
              [](double level) {
                LoadPrograms programs;
                for (int i = 0; i < level; ++i)
                  programs.emplace_back([share = std::min(1.0, level - i)] { burn_cpu(share); });
                return programs;
              },
          .settled = {},
          .probe = compute_probe};
}

Experiment disk(const CalibrationOptions& options, const Interruptible& wait) {
  const auto file = std::make_shared<DiskFile>();
  const auto probed = std::make_shared<DiskFile>();
  const std::uint64_t bytes = options.quick ? 16 * kMiB : 128 * kMiB;
  return {.load = "MB/s asked for",
          .factors = {Factor::IoBlocks},
          .levels = {0, 2, 10, 40, 100, 300, 1000},
          .prepare =
              [=, &wait] {
                return attempt([&] {
                  if (auto reason = why_no_disk(options.directory, bytes); !reason.empty()) return reason;
                  *file = make_file(options.directory, bytes, true, wait);
                  *probed = make_file(options.directory, 8 * kMiB, true, wait);
                  return std::string();
                });
              },
          .start =
              [file](double level) {
                LoadPrograms programs;
                for (int i = 0; level > 0 && i < 2; ++i)
                  programs.emplace_back([&] { move_blocks(*file, level * 1e6 / 2); });
                return programs;
              },
          .settled = {},
          .probe = [probed](Work& work) { disk_probe(work, *probed); },
          .count = Count::Fastest};
}

// A program reads a file through a mapping in a group of 32 MiB; the probe's 24 MiB are in that group too. They would
// fit alone, but beside a stream the kernel keeps only half of a group for pages that are used again and again
// (inactive_is_low() in mm/vmscan.c), so the probe pages the more, the faster the stream.
Experiment paging(const CalibrationOptions& options, const Interruptible& wait) {
  struct Parts {
    DiskFile load, probed;
    std::unique_ptr<LimitedGroup> group;
  };
  const auto parts = std::make_shared<Parts>();
  return {.load = "page faults/s asked for",
          .factors = {Factor::PageOps},
          .levels = {0, 200, 1000, 4000, 15000, 1e6},
          .prepare =
              [=, &wait] {
                return attempt([&] {
                  constexpr std::uint64_t kLimit = 32 * kMiB;
                  if (auto reason = why_no_disk(options.directory, 2 * kLimit); !reason.empty()) return reason;
                  std::string reason;
                  parts->group.reset();  // of a first try: a process makes one at a time
                  parts->group = LimitedGroup::make(kLimit, reason);
                  if (!parts->group) return reason;
                  parts->load = make_file(options.directory, 2 * kLimit, false, wait);
                  parts->probed = make_file(options.directory, 24 * kMiB, false, wait);
                  return std::string();
                });
              },
          .start =
              [parts](double level) {
                LoadPrograms programs;
                if (level > 0)
                  programs.emplace_back([parts, level] {
                    if (parts->group->enter()) fault_pages(parts->load, level >= 1e6 ? kFast : level);
                  });
                return programs;
              },
          .settled = {},
          .probe =
              [parts](Work& work) {
                if (parts->group->enter()) paging_probe(work, parts->probed);
              },
          .count = Count::Fastest};
}

Experiment switches(const Share& share) {
  struct Pipe {
    UniqueFd read, write;
    Pipe() {
      int ends[2];
      check(::pipe2(ends, O_CLOEXEC), "pipe");
      read = UniqueFd(ends[0]);
      write = UniqueFd(ends[1]);
    }
  };
  return {
      .load = "pipe round trips/s per PU asked for",
      .factors = {Factor::ContextSwitches},
      .levels = {0, 1000, 4000, 10000, 30000, 1e6},
      .prepare = {},
      .start =
          [pairs = share.pus.size()](double level) {
            LoadPrograms programs;
            for (std::size_t i = 0; level > 0 && i < pairs; ++i) {
              const Pipe there, back;  // the children have copies
              programs.emplace_back([&] { ping(back.read.get(), there.write.get(), level >= 1e6 ? kFast : level); });
              programs.emplace_back([&] { pong(there.read.get(), back.write.get()); });
            }
            return programs;
          },
      .settled = {},
      .probe = compute_probe};
}

Experiment interrupts(const Share& share) {
  return {.load = "timer expiries/s per PU asked for",
          .factors = {Factor::Interrupts},
          .levels = {0, 1000, 4000, 10000, 30000, 60000},
          .prepare = {},
          .start =
              [pus = share.pus.size()](double level) {
                constexpr double kOfOneProgram = 10'000;  // it has to sleep in between
                LoadPrograms programs;
                const auto of_a_pu = static_cast<std::size_t>(std::ceil(level / kOfOneProgram));
                for (std::size_t i = 0; i < of_a_pu * pus; ++i)
                  programs.emplace_back([&] { expire_timers(level / static_cast<double>(of_a_pu)); });
                return programs;
              },
          .settled = {},
          .probe = compute_probe};
}

// Programs that hold memory, and whether they have got it yet. A level adds to the one before: first use of memory is
// slow, above all in a virtual machine whose host has to find it.
struct Holding {
  SharedCounter filled, stop;
  std::uint64_t wanted = 0;
  LoadPrograms holders;
  void hold(std::uint64_t bytes, std::size_t programs, bool dense, const LimitedGroup* group) {
    stop.get() = 0;
    wanted = bytes;
    if (bytes == 0) {
      holders.clear();
      filled.get() = 0;
    }
    const std::uint64_t share = (bytes - std::min(bytes, filled.get().load())) / programs;
    for (std::size_t i = 0; share > 0 && i < programs; ++i)
      holders.emplace_back([=, this] {
        if (group == nullptr || group->enter()) hold_memory(share, dense, filled.get(), stop.get());
      });
  }
  bool settled(bool give_up) const {
    if (give_up) stop.get() = 1;
    return filled.get() + kChunkBytes * holders.size() >= wanted;  // `share` was rounded down
  }
};

// At --memory 0 nothing is filled.
std::vector<double> memory_levels(double most) {
  if (most <= 0) return {0};
  return {0, 0.25 * most, 0.5 * most, 0.75 * most, 0.9 * most, most};
}

Experiment memory(const CalibrationOptions& options, const Share& share) {
  const auto holding = std::make_shared<Holding>();
  // What the others here have must stay theirs.
  const LoadSample now = LoadSampler(share, false).sample(1, 1, {});
  const std::uint64_t available = now.memory_available_kib * 1024;
  const double most = options.memory_share * static_cast<double>(available - std::min(available, 256 * kMiB));
  return {.load = "share of the free memory filled",
          .factors = {Factor::MemoryUsed},
          .levels = memory_levels(options.memory_share),
          .prepare = {},
          .start =
              [=, programs = std::min<std::size_t>(share.pus.size(), 8)](double level) {
                const double bytes = level > 0 ? level / options.memory_share * most : 0;
                holding->hold(static_cast<std::uint64_t>(bytes), programs, true, nullptr);
                return LoadPrograms();
              },
          .settled = [holding](bool give_up) { return holding->settled(give_up); },
          .probe = memory_probe,
          .count = Count::Fastest};
}

Experiment swap() {
  struct Parts {
    std::uint64_t free_bytes = 0;
    std::unique_ptr<LimitedGroup> group;
    Holding holding;  // ends before its group
  };
  const auto parts = std::make_shared<Parts>();
  return {.load = "share of the free swap filled",
          .factors = {Factor::SwapUsed},
          .levels = {0, 0.2, 0.4, 0.6, 0.8},
          .prepare =
              [parts] {
                const auto info = parse_meminfo(ProcDir("/proc").read("meminfo"));
                if (!info || info->swap_total_kib == 0) return std::string("this machine has no swap");
                parts->free_bytes = info->swap_free_kib * 1024;
                std::string reason;
                parts->group.reset();
                parts->group = LimitedGroup::make(64 * kMiB, reason);
                return reason;
              },
          .start =
              [parts](double level) {
                const auto bytes = static_cast<std::uint64_t>(level * static_cast<double>(parts->free_bytes));
                parts->holding.hold(bytes == 0 ? 0 : bytes + parts->group->limit_bytes(), 1, false, parts->group.get());
                return LoadPrograms();
              },
          .settled = [parts](bool give_up) { return parts->holding.settled(give_up); },
          .probe = memory_probe,
          .count = Count::Fastest};
}

}  // namespace

std::vector<double> quick_levels(const std::vector<double>& levels) {
  std::vector<double> out;
  for (std::size_t i = 0; i < levels.size(); ++i)
    if (i % 2 == 0 || i + 1 == levels.size()) out.push_back(levels[i]);
  return out;
}

std::vector<double> cpu_levels(double capacity) {
  std::vector<double> levels = {
      0,        capacity / 2,   capacity - 1, capacity - 0.75, capacity - 0.5, capacity - 0.25,
      capacity, 1.5 * capacity, 2 * capacity};
  std::sort(levels.begin(), levels.end());
  levels.erase(levels.begin(), std::find(levels.begin(), levels.end(), 0.0));
  const auto same = [](double a, double b) { return b - a < 0.1; };
  levels.erase(std::unique(levels.begin(), levels.end(), same), levels.end());
  return levels;
}

std::vector<Experiment> plan_experiments(const CalibrationOptions& options, const Share& share,
                                         const Interruptible& wait) {
  std::vector<Experiment> plan = {processor(share),
                                  disk(options, wait),
                                  paging(options, wait),
                                  switches(share),
                                  interrupts(share),
                                  memory(options, share),
                                  swap()};
  if (options.quick)  // the processor's matter most, and lie around the one step where all PUs are taken
    for (std::size_t i = 1; i < plan.size(); ++i) plan[i].levels = quick_levels(plan[i].levels);
  return plan;
}

}  // namespace drover
