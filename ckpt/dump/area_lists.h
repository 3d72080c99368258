// The areas of frozen processes (/proc/PID/smaps), and which of them have a NUMA policy (/proc/PID/numa_maps). Where
// there are many threads, the kernel takes as long to list their stacks as all else takes that is looked at before the
// first system call in a process; so a thread of our own asks for the lists meanwhile.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <span>
#include <vector>

#include "ckpt/sys/background_call.h"
#include "ckpt/sys/maps.h"

namespace drover {

class AreaLists {
 public:
  // `beside`: it begins at once, with the first of `processes`; null: each is asked for when it is taken. Until then no
  // area of ours may be among them.
  AreaLists(std::span<const pid_t> processes, BackgroundCall* beside);
  AreaLists(const AreaLists&) = delete;
  ~AreaLists();

  // Each once for each process. They throw what reading and parsing throw.
  std::vector<Mapping> take_areas(pid_t);
  // Their beginnings; an area of ours may be among them.
  std::vector<std::uint64_t> take_policies(pid_t);

 private:
  struct Lists {
    std::promise<std::vector<Mapping>> areas;
    std::promise<std::vector<std::uint64_t>> policies;
  };
  static void read(pid_t, Lists&);

  BackgroundCall* beside_;
  std::map<pid_t, Lists> lists_;
  std::map<pid_t, std::vector<std::uint64_t>> policies_;  // without `beside`
  std::atomic<bool> enough_ = false;
};

}  // namespace drover
