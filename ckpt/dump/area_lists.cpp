#include "ckpt/dump/area_lists.h"

#include <utility>

#include "ckpt/sys/numa_maps.h"
#include "ckpt/sys/text.h"

namespace drover {

template <class T, class Work>
static void keep(std::promise<T>& promise, Work work) {
  try {
    promise.set_value(work());
  } catch (...) {
    promise.set_exception(std::current_exception());
  }
}

static std::vector<Mapping> read_areas(pid_t pid) { return parse_smaps(read_text(proc_path(pid, "smaps"))); }

// Not there: a kernel without NUMA support.
static std::vector<std::uint64_t> read_policies(pid_t pid) {
  return parse_numa_maps(try_read_text(proc_path(pid, "numa_maps")).value_or(""));
}

void AreaLists::read(pid_t pid, Lists& lists) {
  keep(lists.areas, [pid] { return read_areas(pid); });
  keep(lists.policies, [pid] { return read_policies(pid); });
}

AreaLists::AreaLists(std::span<const pid_t> processes, BackgroundCall* beside) : beside_(beside) {
  if (beside == nullptr) return;
  for (const pid_t pid : processes) lists_[pid];
  const auto read_all = [this, order = std::vector(processes.begin(), processes.end())] {
    for (const pid_t pid : order) {
      if (enough_) return;
      read(pid, lists_.find(pid)->second);
    }
  };
  beside->start(read_all, BackgroundCall::Begin::Elsewhere);
}

AreaLists::~AreaLists() {
  enough_ = true;
  if (beside_ != nullptr) beside_->wait();
}

std::vector<Mapping> AreaLists::take_areas(pid_t pid) {
  if (beside_ != nullptr) return lists_.at(pid).areas.get_future().get();
  policies_[pid] = read_policies(pid);
  return read_areas(pid);
}

std::vector<std::uint64_t> AreaLists::take_policies(pid_t pid) {
  return beside_ != nullptr ? lists_.at(pid).policies.get_future().get() : std::move(policies_.at(pid));
}

}  // namespace drover
