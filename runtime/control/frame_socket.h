// A non-blocking framed stream socket on an event loop, which can carry descriptors: droverd's side of its clients,
// shepherds and workers, and a shepherd's side of its droverd.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/sys/unique_fd.h"
#include "runtime/control/frame.h"
#include "runtime/control/loop.h"

namespace drover {

class FrameSocket {
 public:
  struct Handlers {
    std::function<void(Frame&&)> frame;
    // The peer is gone or broke the protocol (`why`, empty for an orderly end). The socket may be destroyed here.
    std::function<void(const std::string& why)> closed;
    std::function<void()> drained;  // everything queued has been written; may be empty
  };

  FrameSocket(EventLoop& loop, UniqueFd fd, Handlers handlers);
  ~FrameSocket();
  FrameSocket(const FrameSocket&) = delete;
  FrameSocket& operator=(const FrameSocket&) = delete;

  // Queues a frame; writes at once what the socket takes. `fds` travel with it and are closed here afterwards.
  void send(std::uint16_t type, std::string_view payload, std::vector<UniqueFd> fds = {});
  std::size_t backlog_bytes() const { return backlog_; }
  // Stops and starts reading: backpressure towards the peer.
  void pause_reading(bool pause);
  // The oldest descriptor that arrived and was not taken; empty if there is none.
  UniqueFd take_fd();
  // Hands over at once what a peer that has ended has said, and nothing of any other descriptor. May close, as the loop
  // does.
  void receive_rest();
  uid_t peer_uid() const;
  // Blocking, for processes about to exit: writes what is queued. False if the peer is gone.
  bool flush_blocking();

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<UniqueFd> fds;
  };
  enum class Read { Some, Nothing, Closed };  // Closed: handlers were told
  void on_events(std::uint32_t events);
  Read read_some();
  bool write_some();  // false: peer gone
  void update_interest();
  void close(const std::string& why);

  EventLoop& loop_;
  UniqueFd fd_;
  Handlers handlers_;
  FrameDecoder decoder_;
  std::deque<Outgoing> queue_;
  std::deque<UniqueFd> received_fds_;
  std::size_t written_ = 0;  // of queue_.front()
  std::size_t backlog_ = 0;
  bool reading_ = true;
  std::uint32_t interest_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover
