#include "runtime/mpi/postbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace drover::mpi {

namespace {

constexpr int kTag = 1;
constexpr std::size_t kSlots = 8;  // receives posted at a time

struct PartHeader {
  std::uint32_t sequence;  // of parts from this sender to this receiver
  std::uint16_t type;
  std::uint16_t flags;  // kLast, kAckOnly
  std::uint64_t taken;  // bytes of parts that the sender has taken from the receiver: gives credit
};
constexpr std::uint16_t kLast = 1, kAckOnly = 2;
constexpr std::size_t kPayload = Postbox::kPartBytes - sizeof(PartHeader);

PartHeader header_of(const std::string& part) {
  PartHeader header;
  std::memcpy(&header, part.data(), sizeof header);
  return header;
}

}  // namespace

Postbox::Postbox(const World& world, Handler handler, Ring ring)
    : comm_(world.duplicate()),
      self_(world.rank()),
      handler_(std::move(handler)),
      ring_(std::move(ring)),
      peers_(static_cast<std::size_t>(world.size())),
      receives_(kSlots, MPI_REQUEST_NULL) {
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    buffers_.push_back(std::make_unique<char[]>(kPartBytes));
    post(slot);
  }
}

Postbox::~Postbox() {
  for (auto& request : receives_)
    if (request != MPI_REQUEST_NULL) {
      MPI_Cancel(&request);
      MPI_Request_free(&request);
    }
  // Buffers of sends that never completed (their receiver is gone) must outlive MPI's use of them: left to the
  // process's end.
  for (auto& send : sends_) (void)send.bytes.release();
  (void)comm_.release();
}

void Postbox::post(std::size_t slot) {
  check(MPI_Irecv(buffers_[slot].get(), static_cast<int>(kPartBytes), MPI_BYTE, MPI_ANY_SOURCE, kTag, comm(),
                  &receives_[slot]),
        "MPI_Irecv control");
}

void Postbox::send(int to, std::uint16_t type, std::string payload) {
  if (payload.size() > kMaxMessageBytes) throw std::length_error(fmt::format("message of {} bytes", payload.size()));
  if (to == self_) {
    to_self_.emplace_back(type, std::move(payload));
    return;
  }
  Peer& peer = peers_.at(static_cast<std::size_t>(to));
  if (peer.lost) return;
  std::size_t done = 0;
  do {
    const std::size_t n = std::min(kPayload, payload.size() - done);
    const bool last = done + n == payload.size();
    const PartHeader header{0, type, last ? kLast : std::uint16_t{0}, 0};
    std::string part(reinterpret_cast<const char*>(&header), sizeof header);
    part.append(payload, done, n);
    peer.waiting_bytes += part.size();
    peer.waiting.push_back(std::move(part));
    done += n;
  } while (done < payload.size());
  send_waiting(to);
}

bool Postbox::send_waiting(int to) {
  Peer& peer = peers_[static_cast<std::size_t>(to)];
  bool any = false;
  while (!peer.waiting.empty() && peer.sent - peer.acked < kCreditBytes) {
    std::string part = std::move(peer.waiting.front());
    peer.waiting.pop_front();
    peer.waiting_bytes -= part.size();
    peer.sent += part.size();
    start_send(to, std::move(part));
    any = true;
  }
  if (any) ring_(to);
  return any;
}

void Postbox::start_send(int to, std::string part) {
  Peer& peer = peers_[static_cast<std::size_t>(to)];
  PartHeader header = header_of(part);
  header.taken = peer.taken_told = peer.taken;
  if ((header.flags & kAckOnly) == 0) {
    header.sequence = peer.next_sequence_out++;
    peer.mid_message = (header.flags & kLast) == 0;
  }
  std::memcpy(part.data(), &header, sizeof header);
  Outgoing out{std::make_unique<std::string>(std::move(part)), MPI_REQUEST_NULL};
  check(MPI_Isend(out.bytes->data(), static_cast<int>(out.bytes->size()), MPI_BYTE, to, kTag, comm(), &out.request),
        "MPI_Isend control");
  sends_.push_back(std::move(out));
}

void Postbox::acknowledge(int to) {
  const PartHeader header{0, 0, kAckOnly, 0};
  start_send(to, std::string(reinterpret_cast<const char*>(&header), sizeof header));
  ring_(to);
}

bool Postbox::reap_sends() {
  bool any = false;
  for (auto send = sends_.begin(); send != sends_.end();) {
    int done = 0;
    check(MPI_Test(&send->request, &done, MPI_STATUS_IGNORE), "MPI_Test control send");
    if (done != 0) any = true;
    send = done != 0 ? sends_.erase(send) : std::next(send);
  }
  return any;
}

bool Postbox::receive() {
  bool any = false;
  for (;;) {
    int count = 0;
    std::array<int, kSlots> indices{};
    std::array<MPI_Status, kSlots> statuses{};
    check(MPI_Testsome(static_cast<int>(kSlots), receives_.data(), &count, indices.data(), statuses.data()),
          "MPI_Testsome control");
    if (count == MPI_UNDEFINED || count == 0) return any;
    any = true;
    std::vector<std::pair<int, std::string>> parts;
    for (int i = 0; i < count; ++i) {
      const auto slot = static_cast<std::size_t>(indices[static_cast<std::size_t>(i)]);
      const MPI_Status& status = statuses[static_cast<std::size_t>(i)];
      int bytes = 0;
      check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
      parts.emplace_back(status.MPI_SOURCE, std::string(buffers_[slot].get(), static_cast<std::size_t>(bytes)));
      post(slot);
    }
    for (auto& [from, part] : parts) take_part(from, std::move(part));
  }
}

void Postbox::take_part(int from, std::string part) {
  Peer& peer = peers_.at(static_cast<std::size_t>(from));
  if (part.size() < sizeof(PartHeader)) return;
  const PartHeader header = header_of(part);
  // Completions of several receives are not ordered, so an older figure may come later.
  if (header.taken > peer.acked && header.taken <= peer.sent) peer.acked = header.taken;
  if ((header.flags & kAckOnly) != 0) {
    send_waiting(from);
    return;
  }
  peer.taken += part.size();
  peer.early.emplace(header.sequence, std::move(part));
  while (!peer.early.empty() && peer.early.begin()->first == peer.next_sequence_in) {
    const std::string next = std::move(peer.early.extract(peer.early.begin()).mapped());
    ++peer.next_sequence_in;
    deliver_part(from, next);
  }
  if (!peer.lost && peer.taken - peer.taken_told > kCreditBytes / 4) acknowledge(from);
  send_waiting(from);
}

void Postbox::deliver_part(int from, const std::string& part) {
  Peer& peer = peers_[static_cast<std::size_t>(from)];
  const PartHeader header = header_of(part);
  if (peer.message.size() + part.size() > kMaxMessageBytes + kPartBytes) {
    peer.message.clear();
    throw std::length_error(fmt::format("rank {} sends a message over the limit", from));
  }
  peer.message.append(part, sizeof header);
  if ((header.flags & kLast) == 0) return;
  handler_(from, header.type, std::exchange(peer.message, {}));
}

bool Postbox::progress() {
  bool any = receive();
  if (reap_sends()) any = true;
  while (!to_self_.empty()) {
    auto [type, payload] = std::move(to_self_.front());
    to_self_.pop_front();
    handler_(self_, type, std::move(payload));
    any = true;
  }
  return any;
}

std::size_t Postbox::backlog_bytes(int rank) const {
  return rank == self_ ? 0 : peers_.at(static_cast<std::size_t>(rank)).waiting_bytes;
}

void Postbox::set_lost(int rank, bool lost) {
  Peer& peer = peers_.at(static_cast<std::size_t>(rank));
  peer.lost = lost;
  if (!lost) return;
  // It may come back (a stopped rank): the message whose beginning it has must not be cut in the middle.
  std::size_t keep = 0;
  if (peer.mid_message)
    while (keep < peer.waiting.size() && (header_of(peer.waiting[keep++]).flags & kLast) == 0) {
    }
  while (peer.waiting.size() > keep) {
    peer.waiting_bytes -= peer.waiting.back().size();
    peer.waiting.pop_back();
  }
}

bool Postbox::idle() const {
  return sends_.empty() && to_self_.empty() &&
         std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.lost || peer.waiting.empty(); });
}

}  // namespace drover::mpi
