#include "runtime/jobs/holdings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <vector>

#include "ckpt/sys/maps.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/load/pid_stat.h"
#include "runtime/load/proc_dir.h"
#include "runtime/load/text_fields.h"
#include "runtime/policy/random.h"

namespace drover {

namespace {

constexpr unsigned kFewPages = 16;  // a share of fewer says nothing

void count_descriptors(pid_t pid, Holdings& sum) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(fmt::format("/proc/{}/fd", pid), error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(it->path(), gone).native();
    if (!gone) ++(target.rfind("socket:[", 0) == 0 ? sum.connections : sum.files);
  }
}

std::uint64_t page_bytes() {
  static const auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

// Of a process's private anonymous areas, laid end to end: where each begins, and how many pages end with it.
struct Areas {
  std::vector<std::uint64_t> first, end;  // page numbers; running sums

  explicit Areas(pid_t pid) {
    for (const Mapping& area : parse_maps(ProcDir("/proc").read("{}/maps", pid))) {
      const bool special = !area.path.empty() && area.path != "[heap]" && area.path != "[stack]";
      if (area.shared || area.inode != 0 || special || (area.prot & PROT_READ) == 0) continue;
      first.push_back(area.start / page_bytes());
      end.push_back(pages() + area.bytes() / page_bytes());
    }
  }
  std::uint64_t pages() const { return end.empty() ? 0 : end.back(); }
  std::uint64_t page(std::uint64_t index) const {
    const auto area = static_cast<std::size_t>(std::upper_bound(end.begin(), end.end(), index) - end.begin());
    return first[area] + index - (area == 0 ? 0 : end[area - 1]);
  }
};

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

MemoryHeld parse_memory_held(std::string_view status) {
  MemoryHeld held;
  std::uint64_t resident = 0;
  bool told_apart = false;
  while (auto line = take_line(status)) {
    const std::string_view key = take_word(*line);
    if (key == "VmRSS:") resident = take_number(*line);
    if (key == "RssAnon:") held.anonymous_kib = take_number(*line), told_apart = true;
    if (key == "RssFile:") held.file_kib = take_number(*line);
    if (key == "RssShmem:") held.shared_kib = take_number(*line);
    if (key == "VmSwap:") held.swapped_kib = take_number(*line);
  }
  if (!told_apart) held.anonymous_kib = resident;
  return held;
}

Holdings holdings_of_tree(pid_t root, pid_t reaper) {
  static const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const ProcDir proc("/proc");
  Holdings sum;
  std::uint64_t most = 0;
  for (const pid_t pid : list_tree(root, reaper)) {
    const auto stat = parse_pid_stat(proc.read("{}/stat", pid));
    if (!stat) continue;
    sum.cpu_seconds += static_cast<double>(stat->total_ticks()) / ticks_per_second;
    // Without its main thread a process shows what it holds by the others.
    const pid_t other = stat->state == 'Z' ? without_main_thread(pid) : 0;
    const pid_t task = other != 0 ? other : pid;
    const MemoryHeld held = parse_memory_held(proc.read("{}/status", task));
    sum.memory.anonymous_kib += held.anonymous_kib;
    sum.memory.shared_kib += held.shared_kib;
    sum.memory.file_kib += held.file_kib;
    sum.memory.swapped_kib += held.swapped_kib;
    if (sum.largest == 0 || held.anonymous_kib > most) {
      sum.largest = task;
      most = held.anonymous_kib;
    }
    count_descriptors(task, sum);
  }
  return sum;
}

double sample_zero_share(pid_t pid, unsigned pages, std::uint64_t seed) try {
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;  // Documentation/admin-guide/mm/pagemap.rst
  const UniqueFd pagemap(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
  const Areas areas(pid);
  if (!pagemap || areas.pages() == 0) return 0;
  Random random(seed);
  std::vector<std::byte> content(page_bytes());
  unsigned seen = 0, zero = 0;
  for (unsigned tries = 0; tries < 8 * pages && seen < pages; ++tries) {
    const std::uint64_t page = areas.page(random.below(areas.pages()));
    std::uint64_t entry = 0;
    if (::pread(pagemap.get(), &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)) != sizeof entry) break;
    if ((entry & kPresent) == 0) continue;
    const iovec local{content.data(), content.size()};
    const iovec remote{reinterpret_cast<void*>(page * page_bytes()), content.size()};  // an address of the other's
    if (::process_vm_readv(pid, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(content.size())) continue;
    ++seen;
    if (all_zero(content)) ++zero;
  }
  return seen < kFewPages ? 0 : static_cast<double>(zero) / seen;
} catch (const std::invalid_argument&) {  // maps that can't be read
  return 0;
}

}  // namespace drover
