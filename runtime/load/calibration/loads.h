// What load programs and probes do, each for ever: the bodies of children (load_program.h). They share nothing with the
// rest but descriptors and counters.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// A file of `bytes` on a disk, without a name; `direct`: it is read and written past the page cache (O_DIRECT), where
// its file system can do that.
struct DiskFile {
  UniqueFd fd;
  std::uint64_t bytes = 0;
  bool direct = false;
};
inline constexpr std::uint64_t kChunkBytes = 256 * 1024;  // DiskFile's sizes are multiples of it

// A rate of infinity is as fast as it goes.
[[noreturn]] void burn_cpu(double share_of_a_pu);
[[noreturn]] void move_blocks(const DiskFile& file, double bytes_per_second);  // reads and writes by turns
[[noreturn]] void fault_pages(const DiskFile& file, double pages_per_second);  // reads a mapping, page after page
[[noreturn]] void ping(int from, int to, double per_second);                   // sends a byte and waits for one
[[noreturn]] void pong(int from, int to);
[[noreturn]] void expire_timers(double per_second);
// `filled`, in bytes, grows by `bytes`, or until `stop` is not 0; then it waits. `dense`: in huge pages where the
// kernel has them.
[[noreturn]] void hold_memory(std::uint64_t bytes, bool dense, std::atomic<std::uint64_t>& filled,
                              const std::atomic<std::uint64_t>& stop);

using Work = std::atomic<std::uint64_t>;  // units of work done; comparable for one probe only
// Computes in the first-level cache.
[[noreturn]] void compute_probe(Work&);
// Computes for about a millisecond, reads 64 KiB and writes 16 KiB.
[[noreturn]] void disk_probe(Work&, const DiskFile& file);
// Walks over the pages of a mapping, and computes in between.
[[noreturn]] void paging_probe(Work&, const DiskFile& file);
// Asks the kernel for memory, uses it, gives it back, and computes in between.
[[noreturn]] void memory_probe(Work&);

// Of the compute probe on the machine that is speed 1 (an AMD EPYC of 2025, 2 PUs of a virtual machine): a fixed
// number, so that speeds of different hosts can be compared. Never change it without the probe, nor the probe without
// it.
inline constexpr double kReferenceWorkPerSecond = 50'000;

}  // namespace drover
