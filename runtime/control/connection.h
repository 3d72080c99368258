// A blocking connection: the launcher's side of the control socket, a worker's side of its rank and its init.
#pragma once

#include <chrono>
#include <deque>
#include <string>

#include "ckpt/sys/unique_fd.h"
#include "runtime/control/frame.h"

namespace drover {

class Connection {
 public:
  // Connects to the unix socket at `path`. Throws SystemError("connect", path, ...).
  static Connection connect(const std::string& path);
  explicit Connection(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // Sends one frame, waiting as long as it takes, and a copy of `fd` with it unless that is negative. Throws
  // SystemError.
  void send(std::uint16_t type, std::string_view payload, int fd = -1);
  // The next frame; empty at the end of the stream. Throws SystemError, ProtocolError.
  std::optional<Frame> receive();
  // A frame that has already arrived whole, without waiting.
  std::optional<Frame> buffered() { return decoder_.next(); }
  // Reads what is there once (call when fd() polls readable); false at the end of the stream.
  bool fill();
  // The oldest descriptor that arrived and was not taken; empty if there is none.
  UniqueFd take_fd();

 private:
  UniqueFd fd_;
  FrameDecoder decoder_;
  std::deque<UniqueFd> received_fds_;
};

}  // namespace drover
