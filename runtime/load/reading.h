// What the host's load files say at one moment: the counters that rates are made of, and the figures that need no rate.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "runtime/load/host_files.h"
#include "runtime/load/proc_dir.h"

namespace drover {

enum class Resource : std::uint8_t { Cpu, Io, Memory };
inline constexpr std::size_t kResources = 3;
const char* resource_name(Resource);  // "cpu", "io", "memory": the files of /proc/pressure
using Pressures = std::array<std::optional<Pressure>, kResources>;  // by Resource; empty where the kernel has none

struct Reading {
  std::optional<SystemStat> stat;
  std::optional<VmStat> vmstat;
  std::optional<DiskSectors> disk;
  std::map<unsigned, CpuSchedule> schedule;
  std::optional<LoadAverage> load_average;
  Pressures pressure;
  std::uint64_t processes = 0;  // of the whole host; 0 if not known
  double own_cpu_seconds = 0;   // of this process
};

// Never throws: what can't be read is not known.
Reading read_host(const ProcDir&);

// Growth of a kernel counter between two readings. Some of them are 32 bits wide and wrap (interrupts and disk sectors
// on 32-bit counters of older kernels); one that went back by more than a wrap explains was reset, and gives 0.
std::uint64_t counter_growth(std::uint64_t before, std::uint64_t now);
double per_second(std::uint64_t before, std::uint64_t now, double seconds);

}  // namespace drover
