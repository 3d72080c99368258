// Writes one output stream of a job to a descriptor of ours, on a thread of its own.
//
// A terminal may be stopped and a pipe's reader may sleep, and a descriptor that we share with the shell must not be
// made non-blocking under it; so write(2) may block for ever, and signals and the other stream must go on meanwhile.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace drover {

class OutputWriter {
 public:
  // Adds 1 to the eventfd `wake_fd` at each progress.
  OutputWriter(int fd, int wake_fd);
  ~OutputWriter();  // writes what is queued first
  OutputWriter(const OutputWriter&) = delete;
  OutputWriter& operator=(const OutputWriter&) = delete;

  void push(std::string_view bytes);
  // Bytes since the beginning that need not be kept by anyone any more: written, or discarded since nobody reads.
  std::uint64_t settled() const { return settled_.load(); }
  std::uint64_t pushed() const { return pushed_; }
  // The reader is gone (EPIPE) or the descriptor fails: everything from then on is discarded.
  bool broken() const { return broken_.load(); }

 private:
  void work();
  void write_all(std::string_view bytes);
  void settle(std::size_t bytes);

  int fd_;
  int wake_fd_;
  std::uint64_t pushed_ = 0;
  std::atomic<std::uint64_t> settled_ = 0;
  std::atomic<bool> broken_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace drover
