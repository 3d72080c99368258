#include "runtime/shepherd/streams.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/error.h"

namespace drover::shepherd {

namespace {

struct Pipe {
  UniqueFd read_end, write_end;
};

Pipe make_pipe() {
  int fds[2];
  check(::pipe2(fds, O_CLOEXEC), "pipe2");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// The two ends of a pipe or terminal are two open file descriptions: only our own may be non-blocking, the job's must
// not change.
void set_nonblocking(int fd) { check(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK), "fcntl", "stream"); }

}  // namespace

InputStream::InputStream() {
  Pipe pipe = make_pipe();
  read_end_ = std::move(pipe.read_end);
  write_end_ = std::move(pipe.write_end);
  set_nonblocking(write_end_.get());
}

InputStream::InputStream(UniqueFd master) : write_end_(std::move(master)) { set_nonblocking(write_end_.get()); }

bool InputStream::receive(std::uint64_t offset, std::string_view bytes) {
  const std::uint64_t have = received();
  if (offset > have) return false;
  if (offset + bytes.size() > have) pending_.append(bytes.substr(have - offset));
  return true;
}

void InputStream::end(std::uint64_t offset) {
  if (is_terminal()) return;
  if (offset == received()) ended_ = true;
  close_if_done();
}

bool InputStream::pump() {
  while (!pending_.empty() && write_end_) {
    const ssize_t n = ::write(write_end_.get(), pending_.data(), pending_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) break;  // nobody reads any more: the rest is kept, and dropped with the job
    written_ += static_cast<std::uint64_t>(n);
    if (is_terminal()) {
      pending_.erase(0, static_cast<std::size_t>(n));
      continue;
    }
    tail_.append(pending_, 0, static_cast<std::size_t>(n));
    pending_.erase(0, static_cast<std::size_t>(n));
    // The job may have made the pipe larger than the default of 64 KiB (F_SETPIPE_SZ).
    const int size = ::fcntl(write_end_.get(), F_GETPIPE_SZ);
    const std::size_t keep = size > 0 ? static_cast<std::size_t>(size) : 65536;
    if (tail_.size() > 2 * keep) tail_.erase(0, tail_.size() - keep);
  }
  close_if_done();
  return false;
}

void InputStream::close_if_done() {
  if (ended_ && pending_.empty()) write_end_.reset();
}

std::uint64_t InputStream::consumed() const {
  int unread = 0;
  if (read_end_) ::ioctl(read_end_.get(), FIONREAD, &unread);
  return written_ - static_cast<std::uint64_t>(std::max(unread, 0));
}

StreamState InputStream::snapshot() const {
  const std::uint64_t consumed_now = consumed();
  const auto unread = static_cast<std::size_t>(written_ - consumed_now);
  if (unread > tail_.size()) throw SystemError("snapshot", "stdin pipe holds more than was written to it", EINVAL);
  return {consumed_now, tail_.substr(tail_.size() - unread) + pending_, ended_};
}

void InputStream::adopt(const StreamState& state) {
  written_ = state.offset;
  tail_.clear();
  pending_ = state.bytes;
  ended_ = state.ended;
  pump();
}

OutputStream::OutputStream() {
  Pipe pipe = make_pipe();
  read_end_ = std::move(pipe.read_end);
  write_end_ = std::move(pipe.write_end);
  set_nonblocking(read_end_.get());
}

OutputStream::OutputStream(UniqueFd master, UniqueFd slave)
    : read_end_(std::move(master)), write_end_(std::move(slave)), terminal_(true) {
  set_nonblocking(read_end_.get());
}

bool OutputStream::pump(bool all) {
  while (!ended_ && (all || !full())) {
    char bytes[65536];
    const ssize_t n = ::read(read_end_.get(), bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    const bool closed = n < 0 && errno == EIO && terminal_ && !write_end_;  // by all who had the slave (pty(7))
    if (n < 0 && !closed) break;                                            // EAGAIN: nothing more now
    if (n == 0 || closed)
      ended_ = true;
    else
      buffer_.append(bytes, static_cast<std::size_t>(n));
  }
  return !ended_;
}

std::string_view OutputStream::from(std::uint64_t offset, std::size_t most) const {
  if (offset < acked_ || offset >= total()) return {};
  return std::string_view(buffer_).substr(offset - acked_, most);
}

void OutputStream::acknowledge(std::uint64_t offset) {
  if (offset <= acked_ || offset > total()) return;
  buffer_.erase(0, offset - acked_);
  acked_ = offset;
}

StreamState OutputStream::snapshot() {
  pump(true);
  return {acked_, buffer_, ended_};
}

void OutputStream::adopt(const StreamState& state) {
  acked_ = state.offset;
  buffer_ = state.bytes;
  ended_ = state.ended;
}

}  // namespace drover::shepherd
