#include "ckpt/sys/background_call.h"

#include <pthread.h>
#include <sched.h>

#include <csignal>
#include <system_error>
#include <utility>

#include "ckpt/sys/high_ids.h"

namespace drover {

// A thread is woken on its waker's processor, and runs there first, unless another looks idle; on a virtual machine a
// halted processor does not (available_idle_cpu(), kernel/sched/core.c: vcpu_is_preempted()). Then nothing runs side by
// side for the first milliseconds: so it is woken where its waker is not.
void BackgroundCall::leave_to_waker() {
  const int here = ::sched_getcpu();
  if (here < 0 || here >= CPU_SETSIZE || ::pthread_getaffinity_np(thread_.native_handle(), sizeof cpus_, &cpus_) != 0)
    return;
  cpu_set_t others = cpus_;
  CPU_CLR(here, &others);
  if (CPU_COUNT(&others) != 0) away_ = ::pthread_setaffinity_np(thread_.native_handle(), sizeof others, &others) == 0;
}

void BackgroundCall::end() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
  over_ = false;
}

void BackgroundCall::start(std::function<void()> call, Begin begin) {
  wait();
  if (!prepare()) return call();
  {
    const std::lock_guard lock(mutex_);
    if (begin == Begin::Elsewhere) leave_to_waker();
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
    if (std::exchange(away_, false)) ::pthread_setaffinity_np(::pthread_self(), sizeof cpus_, &cpus_);
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
