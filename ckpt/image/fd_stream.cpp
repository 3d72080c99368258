#include "ckpt/image/fd_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ckpt/sys/error.h"

namespace drover {

std::span<std::byte> FdSink::reserve(std::size_t bytes) {
  if (kBufferBytes - used_ < bytes) flush();
  return {buffer_.get() + used_, bytes};
}

void FdSink::flush() {
  std::size_t done = 0;
  while (done < used_) {
    const ssize_t n = ::write(fd_, buffer_.get() + done, used_ - done);
    if (n < 0 && errno == EINTR) continue;
    done += static_cast<std::size_t>(check(n, "write image"));
  }
  used_ = 0;
}

std::span<const std::byte> FdSource::peek(std::size_t bytes) {
  if (kBufferBytes - begin_ < bytes) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < bytes) {
    const ssize_t n = ::read(fd_, buffer_.get() + end_, kBufferBytes - end_);
    if (n < 0 && errno == EINTR) continue;
    if (check(n, "read image") == 0) break;
    end_ += static_cast<std::size_t>(n);
  }
  return {buffer_.get() + begin_, std::min(bytes, end_ - begin_)};
}

}  // namespace drover
