#include "ckpt/image/fd_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ckpt/sys/error.h"

namespace drover {

// From here on a second thread saves more than it costs.
static constexpr std::int64_t kLarge = 8 * 1024 * 1024;

static constexpr int kPipeBytes = 1 << 20;

static std::unique_ptr<std::byte[]> make_buffer(std::size_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(bytes);
}

static void write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    bytes = bytes.subspan(static_cast<std::size_t>(check(n, "write image")));
  }
}

FdSink::FdSink(int fd) : fd_(fd), buffer_(make_buffer(kBufferBytes)) {
  struct stat info {};
  beside_ = ::fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode));
  // Two processes that wait for each other every 64 KiB, a pipe's usual size, cannot work at the same time. What an
  // ordinary user may have at most (pipe(7), pipe-max-size); without it the pipe stays as it is.
  if (S_ISFIFO(info.st_mode) && ::fcntl(fd, F_GETPIPE_SZ) < kPipeBytes) ::fcntl(fd, F_SETPIPE_SZ, kPipeBytes);
}

std::span<std::byte> FdSink::reserve(std::size_t bytes) {
  if (kBufferBytes - used_ < bytes) spill();
  return {buffer_.get() + used_, bytes};
}

void FdSink::spill() {
  if (!beside_ || written_ < static_cast<std::uint64_t>(kLarge)) return flush();
  writing_.wait();
  if (!other_) other_ = make_buffer(kBufferBytes);
  std::swap(buffer_, other_);
  const std::span<const std::byte> full(other_.get(), std::exchange(used_, 0));
  written_ += full.size();
  writing_.start([fd = fd_, full] { write_all(fd, full); });
}

void FdSink::flush() {
  writing_.wait();
  write_all(fd_, {buffer_.get(), used_});
  written_ += std::exchange(used_, 0);
}

FdSource::FdSource(int fd) : fd_(fd) {
  struct stat info {};
  offset_ = ::lseek(fd, 0, SEEK_CUR);
  ahead_ = offset_ >= 0 && ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size - offset_ > kLarge;
  buffer_ = free_buffer();
  if (!ahead_) return;
  other_ = free_buffer();
  read_ahead();
}

FdSource::Buffer FdSource::free_buffer() {
  for (const Buffer& buffer : buffers_)
    if (buffer.use_count() == 1) return buffer;
  buffers_.push_back(
      std::make_shared_for_overwrite<std::byte[]>(ahead_ ? kMaxRecordBytes + kBufferBytes : kBufferBytes));
  return buffers_.back();
}

std::span<const std::byte> FdSource::peek(std::size_t bytes) {
  if (end_ - begin_ < bytes) {
    if (ahead_)
      take_what_was_read();
    else
      read_more(bytes);
  }
  return {buffer_.get() + begin_, std::min(bytes, end_ - begin_)};
}

void FdSource::read_more(std::size_t wanted) {
  if (kBufferBytes - begin_ < wanted) {
    const Buffer full = buffer_;
    if (full.use_count() > 3) buffer_ = free_buffer();  // somebody keeps it, besides these two and the list
    std::memmove(buffer_.get(), full.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < wanted) {
    const ssize_t n = ::read(fd_, buffer_.get() + end_, kBufferBytes - end_);
    if (n < 0 && errno == EINTR) continue;
    if (check(n, "read image") == 0) break;
    end_ += static_cast<std::size_t>(n);
  }
}

void FdSource::read_ahead() {
  reading_.start([this] {
    for (other_bytes_ = 0; other_bytes_ < kBufferBytes;) {
      const ssize_t n =
          ::pread(fd_, other_.get() + kMaxRecordBytes + other_bytes_, kBufferBytes - other_bytes_, offset_);
      if (n < 0 && errno == EINTR) continue;
      if (check(n, "read image") == 0) break;
      other_bytes_ += static_cast<std::size_t>(n);
      offset_ += n;
    }
  });
}

// One buffer holds at least what may be asked for.
void FdSource::take_what_was_read() {
  reading_.wait();
  if (other_bytes_ == 0) return;  // the end
  const std::size_t rest = end_ - begin_;
  std::memcpy(other_.get() + kMaxRecordBytes - rest, buffer_.get() + begin_, rest);
  buffer_ = std::move(other_);
  other_ = free_buffer();
  begin_ = kMaxRecordBytes - rest;
  end_ = kMaxRecordBytes + other_bytes_;
  read_ahead();
}

}  // namespace drover
