#include "ckpt/sys/background_call.h"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

#include "ckpt/sys/high_ids.h"

namespace drover {

BackgroundCall::~BackgroundCall() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundCall::start(std::function<void()> call) {
  wait();
  if (!prepare()) return call();
  {
    const std::lock_guard lock(mutex_);
    call_ = std::move(call);
  }
  changed_.notify_all();
}

void BackgroundCall::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !call_; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

bool BackgroundCall::prepare() {
  if (thread_.joinable()) return true;
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    const HighIds ids;
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // no more processes may be made here (RLIMIT_NPROC, pids.max)
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread_.joinable();
}

void BackgroundCall::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return call_ || over_; });
    if (!call_) return;
    lock.unlock();
    std::exception_ptr failure;
    try {
      call_();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
    call_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace drover
