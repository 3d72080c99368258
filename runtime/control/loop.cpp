#include "runtime/control/loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "ckpt/sys/error.h"

namespace drover {

EventLoop::EventLoop() : epoll_(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}

void EventLoop::watch(int fd, std::uint32_t events, FdHandler handler) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl add");
  watches_[fd] = std::make_shared<Watch>(Watch{std::move(handler)});
}

void EventLoop::change(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event), "epoll_ctl mod");
}

void EventLoop::forget(int fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  found->second->forgotten = true;
  watches_.erase(found);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::after(Nanoseconds delay, std::function<void()> handler) {
  const TimerId id = next_timer_++;
  const auto when = Clock::now() + delay;
  timers_.emplace(std::pair(when, id), std::move(handler));
  timer_times_.emplace(id, when);
  return id;
}

void EventLoop::cancel(TimerId id) {
  const auto found = timer_times_.find(id);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, id});
  timer_times_.erase(found);
}

Nanoseconds EventLoop::until_next_timer() const {
  if (timers_.empty()) return Nanoseconds::max();
  return std::max(Nanoseconds::zero(), Nanoseconds(timers_.begin()->first.first - Clock::now()));
}

void EventLoop::run_timers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    timer_times_.erase(node.key().second);
    node.mapped()();
  }
}

bool EventLoop::run_once(Nanoseconds longest) {
  const Nanoseconds wait = std::min(longest, until_next_timer());
  const timespec timeout{static_cast<time_t>(wait.count() / 1'000'000'000),
                         static_cast<long>(wait.count() % 1'000'000'000)};
  std::array<epoll_event, 64> events;
  // epoll_pwait2 (Linux >= 5.11): epoll_wait's milliseconds are too coarse for the hot window.
  const int ready = ::epoll_pwait2(epoll_.get(), events.data(), events.size(), &timeout, nullptr);
  if (ready < 0 && errno != EINTR) throw SystemError("epoll_pwait2", {}, errno);
  for (int i = 0; i < ready; ++i) {
    const auto found = watches_.find(events[static_cast<std::size_t>(i)].data.fd);
    if (found == watches_.end()) continue;
    const auto kept = found->second;  // the handler may forget itself
    if (!kept->forgotten) kept->handler(events[static_cast<std::size_t>(i)].events);
  }
  run_timers();
  return ready > 0;
}

}  // namespace drover
