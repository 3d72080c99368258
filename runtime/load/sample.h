// What one node tells the others about its load: the factors of one round, as the collective moves them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace drover {

// One measured quantity of load. Values are floats in the unit named here; the order is part of the wire format.
enum class Factor : std::uint8_t {
  RunQueue,         // runnable threads per PU of this node
  CpuShare,         // busy share of this node's PUs, 0..1 (user, nice, system, irq, steal)
  IoBlocks,         // 512-byte sectors read and written per second
  PageOps,          // pages swapped in and out and major faults, per second
  Interrupts,       // per second and PU
  ContextSwitches,  // per second and PU
  MemoryUsed,       // 1 - MemAvailable/MemTotal, 0..1
  SwapUsed,         // share of the swap in use, 0..1
};
inline constexpr std::size_t kFactors = 8;
std::string_view factor_name(Factor);  // "run_queue", "cpu_share", ...: as in config files and JSON

enum class NodeState : std::uint8_t { Free, Normal, Busy };
std::string_view state_name(NodeState);  // "FREE", "NORMAL", "BUSY"

enum LoadFlag : std::uint8_t {
  kDraining = 1,          // takes no jobs, and those that are here go
  kNoForeignJobs = 2,     // its owner lets no jobs of other nodes in
  kForeignJobsLeave = 4,  // and wants those gone that are here
};

inline constexpr std::uint16_t kLoadSampleVersion = 3;

// Fixed size, trivially copyable, at most 128 bytes: an MPI_Iallgather moves one per rank and round.
struct LoadSample {
  std::uint16_t version = kLoadSampleVersion;
  std::uint16_t known = 0;  // bit i set: factor i is measured and is this node's own (not, say, a shared host's)
  NodeState state = NodeState::Free;
  std::uint8_t flags = 0;      // LoadFlag
  std::uint16_t jobs = 0;      // jobs whose place this node is
  std::uint64_t round = 0;     // of the exchange that carries it
  std::uint64_t taken_ns = 0;  // CLOCK_REALTIME
  std::array<float, kFactors> factors{};
  float foreign_run_queue = 0;             // runnable threads per PU that are not of our jobs; 0 where it is not known
  float foreign_cpu_share = 0;             // busy share of this node's PUs by others than our jobs
  float capacity = 1;                      // PUs this node may count on: PUs shared by k ranks count 1/k each
  std::uint16_t foreign_jobs = 0;          // jobs placed here whose origin is another node
  std::uint16_t movable_jobs = 0;          // jobs here that may be given: that nothing pins, nor the owner's rule keeps
  std::uint64_t memory_available_kib = 0;  // what the host has and this node's cgroup leaves
  float speed = 1;                // of one PU, relative to the reference (calibration/record.h); 1: not measured
  float arrivals_per_second = 0;  // of jobs submitted here, of late
  std::uint16_t slots = 0, free_slots = 0;  // PUs that are promised to jobs, and those of them that no job has
  float demand = 0;  // runnable threads, others' too, jobs that have just come or gone counted right
  // Shares of time, 0..1; 0 where they are not known.
  float iowait_share = 0, steal_share = 0;                       // of this node's PUs, since the last sample
  float cpu_pressure = 0, io_pressure = 0, memory_pressure = 0;  // some task of the host waited, in the last 10 s
};
static_assert(std::is_trivially_copyable_v<LoadSample> && sizeof(LoadSample) <= 128);

}  // namespace drover
