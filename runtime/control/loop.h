// One event loop over epoll with timers: droverd's and the shepherd's. Handlers run on the thread that calls
// run_once(); nothing in them may block.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ckpt/sys/unique_fd.h"

namespace drover {

using Clock = std::chrono::steady_clock;
using Nanoseconds = std::chrono::nanoseconds;

class EventLoop {
 public:
  using FdHandler = std::function<void(std::uint32_t events)>;  // EPOLLIN, ...
  using TimerId = std::uint64_t;

  EventLoop();

  // Calls `handler` when `fd` is ready for `events`. A handler may forget any descriptor, its own too.
  void watch(int fd, std::uint32_t events, FdHandler handler);
  void change(int fd, std::uint32_t events);
  void forget(int fd);  // before fd is closed; unknown descriptors are fine

  TimerId after(Nanoseconds delay, std::function<void()> handler);
  void cancel(TimerId id);

  // Waits at most `longest` (less if a timer is due), then runs what is ready. True if a descriptor was ready.
  bool run_once(Nanoseconds longest);

 private:
  struct Watch {
    FdHandler handler;
    bool forgotten = false;
  };
  Nanoseconds until_next_timer() const;
  void run_timers();

  UniqueFd epoll_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
  std::unordered_map<TimerId, Clock::time_point> timer_times_;
  TimerId next_timer_ = 1;
};

}  // namespace drover
