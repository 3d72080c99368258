#include "launcher/run/input_window.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/control/frame.h"

namespace drover {

std::size_t InputWindow::room() const {
  return bytes_.size() < kStreamWindow ? static_cast<std::size_t>(kStreamWindow) - bytes_.size() : 0;
}

void InputWindow::close() {
  closed_ = true;
  base_ = sent_ = end_offset();
  bytes_.clear();
}

void InputWindow::acknowledge(std::uint64_t offset) {
  if (closed_ || offset <= base_) return;
  if (offset > sent_) throw ProtocolError(fmt::format("ack of stdin up to {}, but only {} were sent", offset, sent_));
  bytes_.erase(0, offset - base_);
  base_ = offset;
}

void InputWindow::rewind(std::uint64_t offset) {
  if (closed_) return;
  if (offset < base_ || offset > end_offset())
    throw ProtocolError(fmt::format("stdin is wanted from {}, but {} to {} are here", offset, base_, end_offset()));
  bytes_.erase(0, offset - base_);
  base_ = sent_ = offset;
  end_sent_ = false;
}

void InputWindow::restart(std::uint64_t offset) {
  bytes_.clear();
  base_ = sent_ = offset;
}

bool InputWindow::has_outgoing() const { return !closed_ && (sent_ < end_offset() || (ended_ && !end_sent_)); }

std::optional<InputWindow::Outgoing> InputWindow::take_outgoing() {
  if (!has_outgoing()) return std::nullopt;
  if (sent_ == end_offset()) {
    end_sent_ = true;
    return Outgoing{ClientMessage::End, {Stream::Stdin, sent_, {}}};
  }
  const std::size_t begin = sent_ - base_, length = std::min(kMaxStreamBytes, bytes_.size() - begin);
  const Outgoing out{ClientMessage::Data, {Stream::Stdin, sent_, std::string_view(bytes_).substr(begin, length)}};
  sent_ += length;
  return out;
}

}  // namespace drover
