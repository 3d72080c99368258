// Parsers of the kernel's host-wide load files: text in, values out. Readers elsewhere do the I/O, so a test is a
// string.
//
// None of them throws: a kernel that lacks a file or a line gives an empty optional or zeros, and the factor is then
// not known. Unknown lines and columns of later kernels are ignored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// One cpu line of /proc/stat, in clock ticks (proc(5)). guest and guest_nice are already within user and nice.
struct CpuTimes {
  std::uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  std::uint64_t busy() const { return user + nice + system + irq + softirq + steal; }
  std::uint64_t total() const { return busy() + idle + iowait; }
};

struct SystemStat {
  std::map<unsigned, CpuTimes> cpus;  // by PU number; CPUs that are offline are missing
  std::uint64_t interrupts = 0;       // since boot
  std::uint64_t context_switches = 0;
  std::uint64_t forks = 0;              // processes and threads begun since boot
  std::uint64_t processes_running = 0;  // runnable threads of the whole host at this moment, the reader included
  std::uint64_t processes_blocked = 0;
};
std::optional<SystemStat> parse_system_stat(std::string_view text);

struct LoadAverage {
  double one_minute = 0, five_minutes = 0, fifteen_minutes = 0;
  std::uint64_t runnable = 0, threads = 0;
};
std::optional<LoadAverage> parse_load_average(std::string_view text);

// Counters of /proc/vmstat since boot, in pages (pgpgin and pgpgout: KiB).
struct VmStat {
  std::uint64_t pages_in_kib = 0, pages_out_kib = 0, swapped_in = 0, swapped_out = 0, major_faults = 0;
  std::uint64_t oom_kills = 0;  // since Linux 4.13
};
std::optional<VmStat> parse_vmstat(std::string_view text);

struct MemInfo {
  std::uint64_t total_kib = 0, available_kib = 0, swap_total_kib = 0, swap_free_kib = 0;
};
// Before Linux 3.14 there is no MemAvailable: then free + buffers + cached.
std::optional<MemInfo> parse_meminfo(std::string_view text);

// Sectors of 512 bytes read and written since boot by whole physical disks: no partitions, loop, ram, dm or md devices,
// whose sectors would be counted twice.
struct DiskSectors {
  std::uint64_t read = 0, written = 0;
};
std::optional<DiskSectors> parse_disk_sectors(std::string_view text);

// /proc/pressure/*: shares of time, 0..100, and totals in microseconds. "full" is missing for cpu before 5.13.
struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  std::uint64_t total_us = 0;
};
struct Pressure {
  PressureLine some;
  std::optional<PressureLine> full;
};
std::optional<Pressure> parse_pressure(std::string_view text);

// /proc/schedstat (only with CONFIG_SCHEDSTATS; version 15 to 17): how long tasks ran and waited on each CPU since
// boot, ns.
struct CpuSchedule {
  std::uint64_t running_ns = 0, waiting_ns = 0;
};
std::map<unsigned, CpuSchedule> parse_schedstat(std::string_view text);

}  // namespace drover
