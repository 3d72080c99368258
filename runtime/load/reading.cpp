#include "runtime/load/reading.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace drover {

namespace {

constexpr std::uint64_t kTwo32 = 1ULL << 32;

double cpu_seconds_of_this_process() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The kernel counts every process into /proc's link count (proc_root_getattr() in fs/proc/root.c, since 2.6), beside
// the directories that are always there: no walk over thousands of entries each second. Those are told from processes
// once, by name. In a PID namespace the count is the host's all the same.
std::uint64_t count_processes(const ProcDir& proc) {
  struct stat info;
  if (::stat(proc.root().c_str(), &info) != 0) return 0;
  static const std::uint64_t fixed = [] {
    std::uint64_t directories = 2;  // "." and ".."
    std::error_code error;
    for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename();
      const bool pid = std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
      if (!pid && it->symlink_status(error).type() == std::filesystem::file_type::directory) ++directories;
    }
    return directories;
  }();
  return info.st_nlink > fixed ? info.st_nlink - fixed : 0;
}

}  // namespace

const char* resource_name(Resource resource) {
  static constexpr std::array<const char*, kResources> kNames = {"cpu", "io", "memory"};
  return kNames.at(static_cast<std::size_t>(resource));
}

std::uint64_t counter_growth(std::uint64_t before, std::uint64_t now) {
  if (now >= before) return now - before;
  const bool wrapped = before < kTwo32 && before - now > kTwo32 / 2;
  return wrapped ? now + kTwo32 - before : 0;
}

double per_second(std::uint64_t before, std::uint64_t now, double seconds) {
  return static_cast<double>(counter_growth(before, now)) / seconds;
}

Reading read_host(const ProcDir& proc) {
  Reading reading{.stat = parse_system_stat(proc.read("stat")),
                  .vmstat = parse_vmstat(proc.read("vmstat")),
                  .disk = parse_disk_sectors(proc.read("diskstats")),
                  .schedule = parse_schedstat(proc.read("schedstat")),
                  .load_average = parse_load_average(proc.read("loadavg")),
                  .pressure = {},
                  .processes = count_processes(proc),
                  .own_cpu_seconds = cpu_seconds_of_this_process()};
  for (std::size_t i = 0; i < kResources; ++i)
    reading.pressure[i] = parse_pressure(proc.read("pressure/{}", resource_name(static_cast<Resource>(i))));
  return reading;
}

}  // namespace drover
