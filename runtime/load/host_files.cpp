#include "runtime/load/host_files.h"

#include <algorithm>
#include <cctype>

#include "runtime/load/text_fields.h"

namespace drover {

namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// sda1 of sda, nvme0n1p2 of nvme0n1.
bool is_partition_of(std::string_view name, std::string_view disk) {
  if (disk.empty() || name.size() <= disk.size() || name.substr(0, disk.size()) != disk) return false;
  std::string_view rest = name.substr(disk.size());
  if (std::isdigit(static_cast<unsigned char>(disk.back()))) {
    if (rest.front() != 'p') return false;
    rest.remove_prefix(1);
  }
  return all_digits(rest);
}

bool is_stacked(std::string_view name) {
  for (std::string_view kind : {"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "bcache"})
    if (name.substr(0, kind.size()) == kind) return true;
  return false;
}

// "name   value": the value of a line of vmstat or meminfo whose name is `key`.
void keep_if(std::string_view name, std::string_view key, std::string_view value, std::uint64_t& out) {
  if (name == key) out = number(value);
}

PressureLine parse_pressure_line(std::string_view line) {
  PressureLine out;
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    const auto equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = word.substr(0, equals), value = word.substr(equals + 1);
    if (name == "avg10") out.avg10 = number<double>(value);
    if (name == "avg60") out.avg60 = number<double>(value);
    if (name == "avg300") out.avg300 = number<double>(value);
    if (name == "total") out.total_us = number(value);
  }
  return out;
}

}  // namespace

std::optional<SystemStat> parse_system_stat(std::string_view text) {
  SystemStat out;
  bool seen = false;
  while (auto line = take_line(text)) {
    const std::string_view name = take_word(*line);
    if (name == "cpu") seen = true;
    if (name == "ctxt") out.context_switches = take_number(*line);
    if (name == "intr") out.interrupts = take_number(*line);  // the first figure is the sum of all the others
    if (name == "processes") out.forks = take_number(*line);
    if (name == "procs_running") out.processes_running = take_number(*line);
    if (name == "procs_blocked") out.processes_blocked = take_number(*line);
    if (name.size() <= 3 || name.substr(0, 3) != "cpu" || !all_digits(name.substr(3))) continue;
    CpuTimes& cpu = out.cpus[number<unsigned>(name.substr(3))];
    for (auto* field : {&cpu.user, &cpu.nice, &cpu.system, &cpu.idle, &cpu.iowait, &cpu.irq, &cpu.softirq, &cpu.steal})
      *field = take_number(*line);
  }
  if (!seen || out.cpus.empty()) return std::nullopt;
  return out;
}

std::optional<LoadAverage> parse_load_average(std::string_view text) {
  auto line = take_line(text);
  if (!line) return std::nullopt;
  LoadAverage out;
  out.one_minute = take_number<double>(*line);
  out.five_minutes = take_number<double>(*line);
  out.fifteen_minutes = take_number<double>(*line);
  const std::string_view tasks = take_word(*line);
  const auto slash = tasks.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  out.runnable = number(tasks.substr(0, slash));
  out.threads = number(tasks.substr(slash + 1));
  return out;
}

std::optional<VmStat> parse_vmstat(std::string_view text) {
  VmStat out;
  bool seen = false;
  while (auto line = take_line(text)) {
    const std::string_view name = take_word(*line), value = take_word(*line);
    seen = seen || name == "pgmajfault";
    keep_if(name, "pgpgin", value, out.pages_in_kib);
    keep_if(name, "pgpgout", value, out.pages_out_kib);
    keep_if(name, "pswpin", value, out.swapped_in);
    keep_if(name, "pswpout", value, out.swapped_out);
    keep_if(name, "pgmajfault", value, out.major_faults);
    keep_if(name, "oom_kill", value, out.oom_kills);
  }
  if (!seen) return std::nullopt;
  return out;
}

std::optional<MemInfo> parse_meminfo(std::string_view text) {
  MemInfo out;
  bool has_available = false;
  std::uint64_t free = 0, buffers = 0, cached = 0;
  while (auto line = take_line(text)) {
    const std::string_view name = take_word(*line), value = take_word(*line);
    has_available = has_available || name == "MemAvailable:";
    keep_if(name, "MemTotal:", value, out.total_kib);
    keep_if(name, "MemAvailable:", value, out.available_kib);
    keep_if(name, "MemFree:", value, free);
    keep_if(name, "Buffers:", value, buffers);
    keep_if(name, "Cached:", value, cached);
    keep_if(name, "SwapTotal:", value, out.swap_total_kib);
    keep_if(name, "SwapFree:", value, out.swap_free_kib);
  }
  if (out.total_kib == 0) return std::nullopt;
  if (!has_available) out.available_kib = free + buffers + cached;
  out.available_kib = std::min(out.available_kib, out.total_kib);
  out.swap_free_kib = std::min(out.swap_free_kib, out.swap_total_kib);
  return out;
}

std::optional<DiskSectors> parse_disk_sectors(std::string_view text) {
  DiskSectors sectors;
  bool seen = false;
  std::string_view disk;  // the last whole one: its partitions follow it
  while (auto line = take_line(text)) {
    take_word(*line);  // major
    take_word(*line);  // minor
    const std::string_view name = take_word(*line);
    if (name.empty() || is_stacked(name) || is_partition_of(name, disk)) continue;
    disk = name;
    seen = true;
    take_word(*line);  // reads completed
    take_word(*line);  // reads merged
    sectors.read += take_number(*line);
    take_word(*line);  // milliseconds reading
    take_word(*line);  // writes completed
    take_word(*line);  // writes merged
    sectors.written += take_number(*line);
  }
  if (!seen) return std::nullopt;
  return sectors;
}

std::optional<Pressure> parse_pressure(std::string_view text) {
  std::optional<Pressure> out;
  while (auto line = take_line(text)) {
    const std::string_view kind = take_word(*line);
    if (kind == "some") out.emplace().some = parse_pressure_line(*line);
    if (kind == "full" && out) out->full = parse_pressure_line(*line);
  }
  return out;
}

std::map<unsigned, CpuSchedule> parse_schedstat(std::string_view text) {
  std::map<unsigned, CpuSchedule> out;
  while (auto line = take_line(text)) {
    const std::string_view name = take_word(*line);
    if (name.size() <= 3 || name.substr(0, 3) != "cpu" || !all_digits(name.substr(3))) continue;
    for (int skipped = 0; skipped < 6; ++skipped) take_word(*line);
    CpuSchedule& cpu = out[number<unsigned>(name.substr(3))];
    cpu.running_ns = take_number(*line);
    cpu.waiting_ns = take_number(*line);
  }
  return out;
}

}  // namespace drover
