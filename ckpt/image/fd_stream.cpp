#include "ckpt/image/fd_stream.h"

#include <unistd.h>

#include <cstring>

#include "ckpt/sys/error.h"

namespace drover {

std::span<std::byte> FdSink::reserve(std::size_t bytes) {
  if (buffer_.size() - used_ < bytes) flush();
  return std::span(buffer_).subspan(used_, bytes);
}

void FdSink::flush() {
  std::size_t done = 0;
  while (done < used_) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, used_ - done);
    if (n < 0 && errno == EINTR) continue;
    done += static_cast<std::size_t>(check(n, "write image"));
  }
  used_ = 0;
}

std::span<const std::byte> FdSource::peek(std::size_t bytes) {
  if (buffer_.size() - begin_ < bytes) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < bytes) {
    const ssize_t n = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (n < 0 && errno == EINTR) continue;
    if (check(n, "read image") == 0) break;
    end_ += static_cast<std::size_t>(n);
  }
  return std::span(buffer_).subspan(begin_, std::min(bytes, end_ - begin_));
}

}  // namespace drover
