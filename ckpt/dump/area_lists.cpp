#include "ckpt/dump/area_lists.h"

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

void AreaLists::read(pid_t pid, Lists& lists) {
  keep(lists.areas, [pid] { return parse_smaps(read_text(proc_path(pid, "smaps"))); });
  // Not there: a kernel without NUMA support.
  keep(lists.policies, [pid] { return parse_numa_maps(try_read_text(proc_path(pid, "numa_maps")).value_or("")); });
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
  if (beside_ == nullptr) read(pid, lists_[pid]);
  return lists_.at(pid).areas.get_future().get();
}

std::vector<std::uint64_t> AreaLists::take_policies(pid_t pid) { return lists_.at(pid).policies.get_future().get(); }

}  // namespace drover
