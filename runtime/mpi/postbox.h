// Control messages between ranks: typed, ordered per pair, of any size up to a limit, and never blocking.
//
// Messages are cut into parts that fit pre-posted receives. An Isend to a stopped rank would be buffered by MPI without
// bound, so each pair has a credit: a receiver tells what it has taken, and a sender keeps what goes beyond the credit
// in its own queue, whose length callers can see and must act on.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/mpi/world.h"

namespace drover::mpi {

class Postbox {
 public:
  static constexpr std::size_t kPartBytes = 64 * 1024;
  static constexpr std::size_t kMaxMessageBytes = 16 * 1024 * 1024;
  static constexpr std::size_t kCreditBytes = 1024 * 1024;  // unacknowledged per peer

  using Handler = std::function<void(int from, std::uint16_t type, std::string&& payload)>;
  using Ring = std::function<void(int rank)>;  // wakes a rank after something was sent to it

  Postbox(const World& world, Handler handler, Ring ring);  // collective (duplicates the world)
  ~Postbox();

  // Queues a message; also to oneself (delivered by the next progress()). Messages to a lost rank vanish.
  void send(int to, std::uint16_t type, std::string payload);
  // Delivers what has arrived and sends what may go. True if anything happened.
  bool progress();
  // Bytes that wait here for credit: a stream's source must stop reading while this is large.
  std::size_t backlog_bytes(int rank) const;
  // A rank that is known to be gone (or stopped: it may come back): what waits for it is dropped, what is sent to it
  // vanishes.
  void set_lost(int rank, bool lost);
  // True when nothing is queued or in flight to anyone who is not lost.
  bool idle() const;

 private:
  struct Part;  // header and bytes of one MPI message
  struct Outgoing {
    std::unique_ptr<std::string> bytes;
    MPI_Request request;
  };
  struct Peer {
    std::deque<std::string> waiting;  // parts, ready to go
    std::size_t waiting_bytes = 0;
    std::uint64_t sent = 0, acked = 0;        // bytes of parts to it
    std::uint64_t taken = 0, taken_told = 0;  // bytes of parts from it
    std::uint32_t next_sequence_out = 0, next_sequence_in = 0;
    std::map<std::uint32_t, std::string> early;  // parts that completed before their predecessors
    std::string message;                         // the parts so far of the message that is arriving
    bool mid_message = false;                    // the last part sent to it was not the last of its message
    bool lost = false;
  };

  void post(std::size_t slot);
  bool receive();
  void take_part(int from, std::string part);
  void deliver_part(int from, const std::string& part);
  bool send_waiting(int to);
  void start_send(int to, std::string part);
  void acknowledge(int to);
  bool reap_sends();

  MPI_Comm comm() const { return comm_.get(); }
  Communicator comm_;
  int self_;
  Handler handler_;
  Ring ring_;
  std::vector<Peer> peers_;
  std::vector<std::unique_ptr<char[]>> buffers_;
  std::vector<MPI_Request> receives_;
  std::deque<Outgoing> sends_;
  std::deque<std::pair<std::uint16_t, std::string>> to_self_;
};

}  // namespace drover::mpi
