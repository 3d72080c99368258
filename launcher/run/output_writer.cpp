#include "launcher/run/output_writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace drover {

OutputWriter::OutputWriter(int fd, int wake_fd) : fd_(fd), wake_fd_(wake_fd), thread_([this] { work(); }) {}

OutputWriter::~OutputWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void OutputWriter::push(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    queue_.append(bytes);
    pushed_ += bytes.size();
  }
  changed_.notify_one();
}

void OutputWriter::work() {
  std::string bytes;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !queue_.empty() || stopping_; });
      if (queue_.empty()) return;
      bytes.clear();
      bytes.swap(queue_);
    }
    write_all(bytes);
  }
}

void OutputWriter::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = broken_ ? static_cast<ssize_t>(bytes.size()) : ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // somebody else made it non-blocking
      pollfd wait{fd_, POLLOUT, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    if (n < 0) {
      broken_ = true;
      continue;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
    settle(static_cast<std::size_t>(n));
  }
}

void OutputWriter::settle(std::size_t bytes) {
  settled_ += bytes;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_fd_, &one, sizeof one);  // can only fail when it is already set
}

}  // namespace drover
