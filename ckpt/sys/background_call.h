// One call at a time on a thread of its own: while a tree is frozen its processors are free.
#pragma once

#include <sched.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace drover {

class BackgroundCall {
 public:
  BackgroundCall() = default;
  BackgroundCall(const BackgroundCall&) = delete;
  BackgroundCall& operator=(const BackgroundCall&) = delete;
  ~BackgroundCall() { end(); }

  // Makes the thread. A new one may have to wait for a processor for milliseconds where an old one is woken on an idle
  // one. False if none can be made.
  bool prepare();
  // For a call of a few milliseconds Elsewhere, so that it does not just come first on the caller's processor; one that
  // goes on for long, and waits and is woken many times, is better placed by the kernel.
  enum class Begin { Anywhere, Elsewhere };
  // Waits for the one before, as wait() does. Where no thread can be made the call is made at once. Signals are blocked
  // in it: they are for the thread that starts it.
  void start(std::function<void()> call, Begin begin = Begin::Anywhere);
  // Throws what the last call threw.
  void wait();
  // Waits, and ends the thread, which takes some 0.2 ms; what the last call threw is lost.
  void end();

 private:
  void run();
  void leave_to_waker();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> call_;  // empty: nothing to do
  std::exception_ptr failure_;
  cpu_set_t cpus_{};   // of the thread, while it is `away_`
  bool away_ = false;  // may not run on the processor of who started the call
  bool over_ = false;
  std::thread thread_;
};

}  // namespace drover
