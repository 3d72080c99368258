// A job's three standard streams, held by its shepherd: pipes or a terminal on the job's side, absolute byte offsets on
// the other.
//
// What makes output exactly-once over any number of moves: a byte is forgotten here only after the origin has said that
// it has it, and what is not yet acknowledged travels in the image with its offset. Input is the mirror image: the
// shepherd owns a byte once it has acknowledged it, and what the job has not read yet travels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ckpt/sys/unique_fd.h"

namespace drover::shepherd {

// What travels of one stream: everything from `offset` on that the next shepherd must know.
struct StreamState {
  std::uint64_t offset = 0;
  std::string bytes;
  bool ended = false;
  template <class A>
  void serialize(A& a, unsigned) {
    a& offset& bytes& ended;
  }
};

// Bytes of one stream that a shepherd holds beyond the last acknowledgement; more, and the writer waits.
inline constexpr std::size_t kStreamWindow = 256 * 1024;

class InputStream {
 public:
  InputStream();  // makes the pipe
  // Types into a terminal. What is in that travels with it, so that whatever it has taken counts as consumed.
  explicit InputStream(UniqueFd master);

  int job_end() const { return read_end_.get(); }   // -1: a terminal's
  int own_end() const { return write_end_.get(); }  // -1 once everything has been passed on and the stream has ended

  // Takes bytes that begin at absolute `offset`; what was received before is passed over. Bytes beyond a gap are
  // refused (false): the sender starts again from received().
  bool receive(std::uint64_t offset, std::string_view bytes);
  void end(std::uint64_t offset);  // of a terminal's input: means nothing, others may type later
  // Writes to the pipe what it takes. True if there is more to write later.
  bool pump();

  std::uint64_t received() const { return written_ + pending_.size(); }
  // The job can't have read more than this much less: what a sender may have outstanding is counted from here.
  std::uint64_t consumed() const;
  bool ended() const { return ended_; }

  StreamState snapshot() const;  // the job must be frozen
  void adopt(const StreamState&);
  void close() { write_end_.reset(); }

 private:
  bool is_terminal() const { return !read_end_; }
  void close_if_done();
  UniqueFd read_end_, write_end_;
  std::uint64_t written_ = 0;  // absolute: bytes given to the pipe
  std::string tail_;           // the last of them: at least as many as the pipe can hold
  std::string pending_;
  bool ended_ = false;
};

class OutputStream {
 public:
  OutputStream();
  // Of a terminal. While we hold its slave, too, it is not at its end because the job has closed it for a moment.
  OutputStream(UniqueFd master, UniqueFd slave);

  int job_end() const { return write_end_.get(); }
  int own_end() const { return read_end_.get(); }
  // The job holds the only writing end from here on, so that its exit shows as the end of the stream.
  void close_job_end() {
    if (!terminal_) write_end_.reset();
  }
  // Whoever else has a terminal's slave is the last.
  void close_slave() { write_end_.reset(); }

  // Reads what is there, up to the window (`all`: beyond it, for a snapshot or after the job's end). False at the end.
  bool pump(bool all = false);
  bool full() const { return buffer_.size() >= kStreamWindow; }
  std::uint64_t total() const { return acked_ + buffer_.size(); }
  std::uint64_t acked() const { return acked_; }
  bool ended() const { return ended_; }
  // The bytes from absolute `offset` (at least acked()) on, at most `most`.
  std::string_view from(std::uint64_t offset, std::size_t most) const;
  void acknowledge(std::uint64_t offset);

  StreamState snapshot();  // reads the pipe dry; the job must be frozen
  void adopt(const StreamState&);

 private:
  UniqueFd read_end_, write_end_;
  std::uint64_t acked_ = 0;
  std::string buffer_;
  bool ended_ = false;
  bool terminal_ = false;
};

}  // namespace drover::shepherd
