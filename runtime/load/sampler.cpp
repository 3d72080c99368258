#include "runtime/load/sampler.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace drover {

namespace {

constexpr std::size_t kRunnableSamples = 4;

float waited_share(const std::optional<Pressure>& pressure) {
  return pressure ? static_cast<float>(pressure->some.avg10 / 100) : 0;
}

}  // namespace

LoadSampler::LoadSampler(Share share, bool shared_host, const std::string& proc_root,
                         const std::optional<Cgroup>& own_group)
    : share_(std::move(share)),
      shared_host_(shared_host),
      proc_(proc_root),
      jobs_(ProcDir(proc_root), share_.host_pus),
      memory_groups_(find_cgroups(proc_, "memory")) {
  share_.capacity = std::max(share_.capacity, 0.01);
  if (own_group) foreign_.emplace(proc_, *own_group, share_.host_pus, ::getpid());
}

void LoadSampler::set(LoadSample& sample, Factor factor, double value) {
  if (!std::isfinite(value)) return;
  const auto index = static_cast<std::size_t>(factor);
  sample.factors[index] = static_cast<float>(value);
  sample.known = static_cast<std::uint16_t>(sample.known | 1U << index);
}

LoadSample LoadSampler::sample(std::uint64_t realtime_ns, std::uint64_t monotonic_ns,
                               std::span<const pid_t> job_inits) {
  LoadSample sample;
  sample.taken_ns = realtime_ns;
  sample.capacity = static_cast<float>(share_.capacity);
  detail_ = {};
  const JobLoad jobs = jobs_.measure(monotonic_ns, job_inits);
  fill_memory(sample, jobs);
  const bool have_rates = last_ns_ != 0 && monotonic_ns > last_ns_;
  const double seconds = have_rates ? static_cast<double>(monotonic_ns - last_ns_) / 1e9 : 0;
  if (shared_host_) {
    if (have_rates) fill_own(sample, jobs);
  } else {
    Reading now = read_host(proc_);
    if (have_rates && last_) {
      fill_detail(sample, now, seconds);
      fill_host(sample, now, seconds, jobs);
    }
    last_ = std::move(now);
  }
  if (foreign_) {
    const ForeignLoad foreign = foreign_->measure(monotonic_ns, job_inits);
    if (have_rates) fill_group(sample, foreign, jobs);
  }
  last_ns_ = monotonic_ns;
  return sample;
}

// Of host and cgroup, whichever leaves less.
void LoadSampler::fill_memory(LoadSample& sample, const JobLoad& jobs) {
  const auto memory = parse_meminfo(proc_.read("meminfo"));
  if (!memory) return;
  std::uint64_t total_kib = memory->total_kib, available_kib = memory->available_kib;
  detail_.memory_limit = drover::memory_limit(memory_groups_);
  if (detail_.memory_limit) {
    total_kib = std::clamp<std::uint64_t>(detail_.memory_limit->limit_kib, 1, total_kib);
    available_kib = std::min(available_kib, detail_.memory_limit->available_kib());
  }
  sample.memory_available_kib = available_kib;
  const auto total = static_cast<double>(total_kib);
  if (shared_host_) {  // the node's part of the memory goes with its part of the PUs
    const double part = total * share_.capacity / std::max(1U, share_.host_pus);
    set(sample, Factor::MemoryUsed, std::min(1.0, static_cast<double>(jobs.resident_kib) / part));
    return;
  }
  set(sample, Factor::MemoryUsed, 1 - std::min(1.0, static_cast<double>(available_kib) / total));
  if (memory->swap_total_kib > 0)
    set(sample, Factor::SwapUsed,
        1 - static_cast<double>(memory->swap_free_kib) / static_cast<double>(memory->swap_total_kib));
}

void LoadSampler::fill_detail(LoadSample& sample, const Reading& now, double seconds) {
  const auto limit = detail_.memory_limit;
  detail_ = describe_load(*last_, now, seconds, share_.pus);
  detail_.memory_limit = limit;
  detail_.cgroup_pressure = drover::cgroup_pressure(memory_groups_);
  if (detail_.cpu) {
    sample.iowait_share = static_cast<float>(detail_.cpu->iowait);
    sample.steal_share = static_cast<float>(detail_.cpu->steal);
  }
  const auto pressure = [&](Resource resource) {
    return waited_share(now.pressure[static_cast<std::size_t>(resource)]);
  };
  sample.cpu_pressure = pressure(Resource::Cpu);
  sample.io_pressure = pressure(Resource::Io);
  sample.memory_pressure = pressure(Resource::Memory);
}

void LoadSampler::fill_own(LoadSample& sample, const JobLoad& jobs) const {
  set(sample, Factor::RunQueue, (jobs.running + jobs.waiting) / share_.capacity);
  set(sample, Factor::CpuShare, std::min(1.0, jobs.running / share_.capacity));
}

void LoadSampler::fill_host(LoadSample& sample, const Reading& now, double seconds, const JobLoad& jobs) {
  const double capacity = share_.capacity;
  if (now.stat && last_->stat) {
    const double drover = (now.own_cpu_seconds - last_->own_cpu_seconds) / seconds + jobs.shepherds_running;
    const double busy = std::clamp(host_busy_pus(now) - drover, 0.0, static_cast<double>(share_.pus.size()));
    const double foreign = std::max(0.0, busy - jobs.running);
    // Who waited before it ended can't be asked any more: both kinds in proportion to what they ran.
    const double unexplained = foreign_waiting(now, seconds, jobs), ran = foreign + jobs.ended_running;
    const double foreign_queue = foreign + (ran > 0 ? unexplained * foreign / ran : unexplained);
    sample.foreign_cpu_share = static_cast<float>(std::min(1.0, foreign / capacity));
    sample.foreign_run_queue = static_cast<float>(foreign_queue / capacity);
    set(sample, Factor::CpuShare, std::min(1.0, std::max(busy, jobs.running) / capacity));
    set(sample, Factor::RunQueue, (jobs.running + jobs.waiting + foreign + unexplained) / capacity);
    const auto host_cpus = static_cast<double>(now.stat->cpus.size());
    set(sample, Factor::Interrupts, per_second(last_->stat->interrupts, now.stat->interrupts, seconds) / host_cpus);
    set(sample, Factor::ContextSwitches,
        per_second(last_->stat->context_switches, now.stat->context_switches, seconds) / host_cpus);
  }
  if (detail_.blocks) {
    set(sample, Factor::IoBlocks, detail_.blocks->read + detail_.blocks->written);
  } else if (detail_.pages) {  // a container that hides its disks: pages in and out, in KiB
    set(sample, Factor::IoBlocks, 2 * (detail_.pages->in_kib + detail_.pages->out_kib));
  }
  if (detail_.pages)
    set(sample, Factor::PageOps, detail_.pages->swapped_in + detail_.pages->swapped_out + detail_.pages->major_faults);
}

// Also in place of what fill_host() says: under a quota others may use the rest of the host as they like.
void LoadSampler::fill_group(LoadSample& sample, const ForeignLoad& foreign, const JobLoad& jobs) const {
  const double capacity = share_.capacity, queue = foreign.running + foreign.waiting;
  sample.foreign_cpu_share = static_cast<float>(std::min(1.0, foreign.running / capacity));
  sample.foreign_run_queue = static_cast<float>(queue / capacity);
  set(sample, Factor::CpuShare, std::min(1.0, (jobs.running + foreign.running) / capacity));
  set(sample, Factor::RunQueue, (jobs.running + jobs.waiting + queue) / capacity);
}

// PUs' worth of time that this node's PUs were busy. The ticks of a CPU are compared with its own total, not with the
// clock: idle ticks of tickless CPUs are only accounted when they wake.
double LoadSampler::host_busy_pus(const Reading& now) const {
  double busy = 0;
  for (const unsigned pu : share_.pus) {
    const auto after = now.stat->cpus.find(pu);
    const auto before = last_->stat->cpus.find(pu);
    if (before == last_->stat->cpus.end() || after == now.stat->cpus.end()) continue;  // offline
    const auto used = static_cast<double>(counter_growth(before->second.busy(), after->second.busy()));
    const auto total = static_cast<double>(counter_growth(before->second.total(), after->second.total()));
    busy += used / std::max({total, used, 1.0});  // total is 0 when the sampler runs faster than ticks
  }
  return busy;
}

// Threads of others that wait for this node's PUs: exactly from schedstat; else, for a node that has all its host's
// CPUs, from the run queue at the moments of the last samples; else not known, and 0.
double LoadSampler::foreign_waiting(const Reading& now, double seconds, const JobLoad& jobs) {
  if (!now.schedule.empty() && !last_->schedule.empty()) {
    double waiting = 0;
    for (const unsigned pu : share_.pus) {
      const auto after = now.schedule.find(pu);
      if (const auto before = last_->schedule.find(pu); before != last_->schedule.end() && after != now.schedule.end())
        waiting += per_second(before->second.waiting_ns, after->second.waiting_ns, seconds) / 1e9;
    }
    return std::max(0.0, waiting - jobs.waiting);
  }
  if (share_.pus.size() < now.stat->cpus.size()) return 0;
  runnable_.push_back(static_cast<double>(now.stat->processes_running) - 1 /* this process */);
  if (runnable_.size() > kRunnableSamples) runnable_.pop_front();
  const double mean = std::accumulate(runnable_.begin(), runnable_.end(), 0.0) / static_cast<double>(runnable_.size());
  return std::max(0.0, mean - static_cast<double>(share_.pus.size()) - jobs.waiting);
}

}  // namespace drover
