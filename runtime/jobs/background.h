// The thread that may wait: everything that touches the shared state directory or a user's files (NFS can hang for
// minutes) runs here in order, and its completion comes back to the event loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "ckpt/sys/unique_fd.h"
#include "runtime/control/loop.h"

namespace drover {

class Background {
 public:
  explicit Background(EventLoop& loop);
  ~Background();  // finishes what is queued

  void run(std::function<void()> blocking, std::function<void()> done);
  bool idle() const;

 private:
  struct Task {
    std::function<void()> blocking, done;
  };
  void work();
  void complete();

  EventLoop& loop_;
  UniqueFd wake_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Task> queued_, finished_;
  bool busy_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace drover
