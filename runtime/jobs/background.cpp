#include "runtime/jobs/background.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ckpt/sys/error.h"

namespace drover {

Background::Background(EventLoop& loop)
    : loop_(loop), wake_(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  loop_.watch(wake_.get(), EPOLLIN, [this](std::uint32_t) { complete(); });
  thread_ = std::thread([this] { work(); });
}

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ready_.notify_one();
  thread_.join();
  loop_.forget(wake_.get());
}

void Background::run(std::function<void()> blocking, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    queued_.push_back({std::move(blocking), std::move(done)});
  }
  ready_.notify_one();
}

bool Background::idle() const {
  const std::lock_guard lock(mutex_);
  return queued_.empty() && finished_.empty() && !busy_;
}

void Background::work() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return stop_ || !queued_.empty(); });
    if (queued_.empty()) return;
    Task task = std::move(queued_.front());
    queued_.pop_front();
    busy_ = true;
    lock.unlock();
    try {
      task.blocking();
    } catch (const std::exception& error) {
      spdlog::error("in the background: {}", error.what());
    }
    task.blocking = nullptr;
    lock.lock();
    busy_ = false;
    finished_.push_back(std::move(task));
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }
}

void Background::complete() {
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
  std::deque<Task> finished;
  {
    const std::lock_guard lock(mutex_);
    finished.swap(finished_);
  }
  for (auto& task : finished)
    if (task.done) task.done();
}

}  // namespace drover
