#include "runtime/load/detail.h"

#include <algorithm>

namespace drover {

namespace {

std::optional<CpuSplit> split_cpu(const SystemStat& before, const SystemStat& now, const PuSet& pus) {
  double user = 0, nice = 0, system = 0, iowait = 0, steal = 0, total = 0;
  for (const unsigned pu : pus) {
    const auto was = before.cpus.find(pu), is = now.cpus.find(pu);
    if (was == before.cpus.end() || is == now.cpus.end()) continue;  // offline
    const auto grown = [&](std::uint64_t CpuTimes::*field) {
      return static_cast<double>(counter_growth(was->second.*field, is->second.*field));
    };
    const double of_system = grown(&CpuTimes::system) + grown(&CpuTimes::irq) + grown(&CpuTimes::softirq);
    user += grown(&CpuTimes::user);
    nice += grown(&CpuTimes::nice);
    system += of_system;
    iowait += grown(&CpuTimes::iowait);
    steal += grown(&CpuTimes::steal);
    total += grown(&CpuTimes::user) + grown(&CpuTimes::nice) + of_system + grown(&CpuTimes::idle) +
             grown(&CpuTimes::iowait) + grown(&CpuTimes::steal);
  }
  if (total <= 0) return std::nullopt;  // sampled twice within a tick
  return CpuSplit{user / total, nice / total, system / total, iowait / total, steal / total};
}

}  // namespace

LoadDetail describe_load(const Reading& before, const Reading& now, double seconds, const PuSet& pus) {
  LoadDetail detail;
  if (before.stat && now.stat) {
    detail.cpu = split_cpu(*before.stat, *now.stat, pus);
    detail.forks_per_second = per_second(before.stat->forks, now.stat->forks, seconds);
    detail.blocked = now.stat->processes_blocked;
  }
  if (before.disk && now.disk)
    detail.blocks = BlockRates{per_second(before.disk->read, now.disk->read, seconds),
                               per_second(before.disk->written, now.disk->written, seconds)};
  if (before.vmstat && now.vmstat) {
    const auto rate = [&](std::uint64_t VmStat::*field) {
      return per_second((*before.vmstat).*field, (*now.vmstat).*field, seconds);
    };
    detail.pages = PageRates{rate(&VmStat::pages_in_kib), rate(&VmStat::pages_out_kib), rate(&VmStat::swapped_in),
                             rate(&VmStat::swapped_out), rate(&VmStat::major_faults)};
  }
  if (now.load_average) detail.threads = now.load_average->threads;
  if (now.processes > 0) detail.processes = now.processes;
  detail.pressure = now.pressure;
  return detail;
}

}  // namespace drover
