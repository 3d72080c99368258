// What was read from our stdin and is not yet safe at the job: the bytes that must be sent again to a new droverd.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/control/client_message.h"

namespace drover {

class InputWindow {
 public:
  // There is room: whoever reads stdin may read at most room() bytes more.
  std::size_t room() const;
  void append(std::string_view bytes) { bytes_.append(bytes); }
  void end() { ended_ = true; }
  // The job reads no more: everything is dropped, and nothing more is wanted.
  void close();
  bool wants_input() const { return !ended_ && !closed_ && room() > 0; }

  // Everything before `offset` is safe. Throws ProtocolError for an offset that was never sent.
  void acknowledge(std::uint64_t offset);
  // The peer wants to go on at `offset` (a new droverd). Throws ProtocolError if that is gone or not yet read.
  void rewind(std::uint64_t offset);

  // Goes on at `offset`, wherever that is: of what was not acknowledged nothing is sent again.
  void restart(std::uint64_t offset);
  bool can_rewind(std::uint64_t offset) const { return offset >= base_ && offset <= end_offset(); }

  struct Outgoing {
    ClientMessage type;
    StreamMessage message;  // valid until the window changes
  };
  bool has_outgoing() const;
  // The next message to send, counted as sent.
  std::optional<Outgoing> take_outgoing();

 private:
  std::uint64_t end_offset() const { return base_ + bytes_.size(); }

  std::string bytes_;       // from base_ on
  std::uint64_t base_ = 0;  // everything before is acknowledged
  std::uint64_t sent_ = 0;  // everything before was sent
  bool ended_ = false, end_sent_ = false, closed_ = false;
};

}  // namespace drover
