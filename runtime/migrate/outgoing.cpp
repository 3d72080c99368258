#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/error.h"
#include "runtime/migrate/fault.h"
#include "runtime/migrate/movers.h"

namespace drover {

using nlohmann::json;
using shepherd::Type;
using shepherd::VerdictKind;

namespace {

double ms(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; }
}  // namespace

OutgoingMoves::Move* OutgoingMoves::by_transfer(int from, std::uint32_t transfer) {
  const auto found = moves_.find(transfer);
  return found == moves_.end() || found->second.to != from ? nullptr : &found->second;
}

OutgoingMoves::Move* OutgoingMoves::by_job(std::int64_t job) {
  for (auto& [transfer, move] : moves_)
    if (move.job == job && move.stage != Stage::Over) return &move;
  return nullptr;
}

json OutgoingMoves::describe(const Move& move, bool ok) const {
  const auto& source = move.source_times;
  const auto& destination = move.destination_times;
  const Cluster& cluster = context_.cluster;
  return {{"event", "migrated"},
          {"job", move.job},
          {"from", cluster.self_name()},
          {"to", move.to >= 0 ? cluster.node_name(move.to) : ""},
          {"ok", ok},
          {"reason", move.reason},
          {"epoch", move.epoch},
          {"method", "stop-and-copy"},
          {"image_bytes", source.image_bytes},
          {"page_bytes", source.page_bytes},
          {"frozen_ms", ms(move.frozen_ns)},
          {"phases_ms",
           {{"freeze", ms(source.freeze_ns)},
            {"dump", ms(source.dump_ns)},
            {"send", ms(move.last_chunk_ns - move.first_chunk_ns)},
            {"restore", ms(destination.restore_ns)},
            {"commit", ms(destination.commit_ns)},
            {"resume", ms(destination.resume_ns)}}},
          {"register_ms", ms(destination.register_ns)},
          {"error", move.error},
          {"reached", move.reached}};
}

void OutgoingMoves::report_refusal(int asker, const MoveRequest& request, const std::string& reason) {
  Move move;
  move.job = request.job;
  move.to = request.to;
  move.reason = request.reason;
  move.error = reason;
  move.reached = "refused";
  const std::string event = describe(move, false).dump();
  if (request.request != 0)
    context_.cluster.send(asker, Msg::MoveReport, MoveReportMsg{request.job, request.request, event});
}

void OutgoingMoves::begin(int asker, const MoveRequest& request, std::vector<std::string> carry) {
  Cluster& cluster = context_.cluster;
  PlacedJob* job = context_.placed.find(request.job);
  if (job != nullptr && job->is_held()) return report_refusal(asker, request, held_text(request.job));
  if (job == nullptr || job->stage != shepherd::Stage::Running)
    return report_refusal(asker, request,
                          fmt::format("job {} does not run on {} (any more)", request.job, cluster.self_name()));
  if (job->moving_out) return report_refusal(asker, request, fmt::format("job {} is being moved already", request.job));
  if (job->checkpoint) return report_refusal(asker, request, "an image of it is being written; try again");
  if (request.to == cluster.self())
    return report_refusal(asker, request, fmt::format("job {} is on {} already", request.job, cluster.self_name()));
  if (request.to < 0 || request.to >= cluster.size() || cluster.lost(request.to))
    return report_refusal(asker, request, "the destination does not answer");
  if (const std::string& why = cluster.lacks(request.to); !why.empty())
    return report_refusal(asker, request, fmt::format("the processor of {} {}", cluster.node_name(request.to), why));
  if (job->facts.pinned_here) return report_refusal(asker, request, "pinned: " + job->facts.pinned);

  Move move;
  move.transfer = next_transfer_;
  next_transfer_ = next_transfer_ % 30000 + 1;  // an MPI tag; the guaranteed bound is 32,767
  move.job = request.job;
  move.facts = job->facts;
  move.epoch = job->facts.epoch + 1;
  move.to = request.to;
  move.asker = asker;
  move.request = request.request;
  move.reason = request.reason;
  move.carry = std::move(carry);
  move.began_ns = monotonic_ns();
  const NodeView source = context_.own_view();  // with the job
  job->moving_out = true;
  MoveOffer offer{move.transfer, job->facts,           move.epoch, job->holdings.memory.resident_kib(),
                  kImageRing,    request.request != 0, source};
  const std::uint32_t transfer = move.transfer;
  moves_[transfer] = std::move(move);
  cluster.send(request.to, Msg::MoveOffer, offer);
  cluster.loop().after(context_.answer_deadline, [this, transfer] {
    const auto found = moves_.find(transfer);
    if (found == moves_.end() || found->second.stage != Stage::Offered) return;
    abort(found->second, "the destination did not answer the offer");
    finish(found->second, false);
  });
}

void OutgoingMoves::notice(const Move& move, const char* state, const std::string& text) {
  if (const PlacedJob* job = context_.placed.find(move.job))
    context_.placed.tell_origin(*job, Msg::JobMoving, pack(JobNotice{move.job, move.epoch - 1, state, text}));
}

void OutgoingMoves::accepted(Move& move) {
  PlacedJob* job = context_.placed.find(move.job);
  if (job == nullptr || move.stage != Stage::Offered) return abort(move, "the job has ended");
  move.stage = Stage::Dumping;
  move.reached = "freeze";
  move.ring = std::make_unique<RingMemory>(RingMemory::create(kImageRing));
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
  const std::uint32_t transfer = move.transfer;
  move.worker = std::make_unique<FrameSocket>(
      context_.cluster.loop(), UniqueFd(pair[0]),
      FrameSocket::Handlers{[this, transfer](Frame&& frame) { on_worker(transfer, std::move(frame)); },
                            [this, transfer](const std::string&) { on_worker_closed(transfer); },
                            {}});
  std::vector<UniqueFd> fds;
  fds.emplace_back(pair[1]);
  fds.emplace_back(check(::dup(move.ring->fd()), "dup", "ring"));
  const shepherd::Dump order{move.epoch,
                             move.ring->shape(),
                             context_.links.compression_pays(move.to),
                             context_.cluster.self_name(),
                             context_.cluster.node_name(move.to),
                             move.carry};
  fault_point("source.accepted");
  context_.placed.tell(*job, Type::Dump, pack(order), std::move(fds));
  notice(move, "moving", {});
}

void OutgoingMoves::on_worker(std::uint32_t transfer, Frame&& frame) {
  const auto found = moves_.find(transfer);
  if (found == moves_.end()) return;
  Move& move = found->second;
  switch (static_cast<Type>(frame.type)) {
    case Type::RingFilled:
      return chunk_filled(move, unpack<shepherd::RingSlot>(frame.payload));
    case Type::DumpDone: {
      auto dumped = unpack<shepherd::Dumped>(frame.payload);
      move.source_times = dumped.times;
      move.memory_files = std::move(dumped.memory_files);
      move.stage = Stage::EndSent;
      move.reached = "send";
      context_.cluster.send(
          move.to, Msg::MoveEnd,
          MoveEnd{transfer, move.chunks + move.filled.size(), {}, monotonic_ns() - dumped.times.frozen_at_ns});
      context_.cluster.loop().after(context_.answer_deadline, [this, transfer] {
        const auto late = moves_.find(transfer);
        if (late != moves_.end() && late->second.stage == Stage::EndSent)
          verdict(late->second, VerdictKind::PeerLost, "the destination did not answer in time");
      });
      return;
    }
    case Type::WorkerFailed: {
      const std::string why = unpack<shepherd::WorkerFailure>(frame.payload).reason;
      move.error = why;
      PlacedJob* job = context_.placed.find(move.job);
      if (job != nullptr) job->facts.pinned = job->obstacle = why;
      return abort(move, why);
    }
    case Type::InDoubt:
      move.error = unpack<shepherd::Text>(frame.payload).text;
      return notice(move, "in-doubt", "the register can't be reached: " + move.error);
    default:
      return;  // SourceThawed and SourceKilled come from the shepherd's init too, with what follows from them
  }
}

// The worker's end is no news by itself: its init says what it means.
void OutgoingMoves::on_worker_closed(std::uint32_t transfer) {
  const auto found = moves_.find(transfer);
  if (found == moves_.end()) return;
  Move& move = found->second;
  if (move.worker) retired_.push_back(std::move(move.worker));
}

void OutgoingMoves::chunk_filled(Move& move, const shepherd::RingSlot& slot) {
  if (move.stage != Stage::Dumping || !move.ring) return;
  if (slot.bytes > move.ring->slot(slot.slot).size()) throw ProtocolError("chunk larger than its slot");
  move.filled.push_back(slot);
  send_filled(move);
}

// As many as may be in flight. Once the destination was told how many come they are sent whatever becomes of the move,
// so that it can take them and forget the transfer.
void OutgoingMoves::send_filled(Move& move) {
  const std::size_t window = context_.links.window(move.to);
  while (!move.filled.empty() && move.in_flight.size() < window) {
    const shepherd::RingSlot slot = move.filled.front();
    move.filled.pop_front();
    if (move.chunks++ == 0) move.first_chunk_ns = monotonic_ns();
    Chunk chunk{slot, MPI_REQUEST_NULL};
    mpi::check(MPI_Isend(move.ring->slot(slot.slot).data(), static_cast<int>(slot.bytes), MPI_BYTE, move.to,
                         static_cast<int>(move.transfer), context_.images, &chunk.request),
               "MPI_Isend image");
    move.in_flight.push_back(chunk);
  }
}

bool OutgoingMoves::progress() {
  bool any = false;
  for (auto& [transfer, move] : moves_) {
    while (!move.in_flight.empty()) {
      int done = 0;
      mpi::check(MPI_Test(&move.in_flight.front().request, &done, MPI_STATUS_IGNORE), "MPI_Test image");
      if (done == 0) break;
      any = true;
      const shepherd::RingSlot slot = move.in_flight.front().slot;
      move.in_flight.pop_front();
      move.last_chunk_ns = monotonic_ns();
      move.meter.sent(slot.bytes, move.last_chunk_ns);
      if (move.worker && move.stage == Stage::Dumping)
        move.worker->send(static_cast<std::uint16_t>(Type::RingFree), pack(shepherd::RingSlot{slot.slot, 0}));
    }
    send_filled(move);
  }
  std::erase_if(moves_, [](const auto& entry) {
    return entry.second.stage == Stage::Over && entry.second.in_flight.empty() && entry.second.filled.empty();
  });
  retired_.clear();
  return any;
}

bool OutgoingMoves::bulk() const {
  return std::any_of(moves_.begin(), moves_.end(), [](const auto& entry) { return !entry.second.in_flight.empty(); });
}

void OutgoingMoves::verdict(Move& move, VerdictKind kind, const std::string& reason) {
  if (move.worker) move.worker->send(static_cast<std::uint16_t>(Type::Verdict), pack(shepherd::Verdict{kind, reason}));
}

// Tells the destination how many chunks it still gets, so that it can take them all and forget the transfer.
void OutgoingMoves::abort(Move& move, const std::string& why) {
  if (move.stage != Stage::Offered && move.stage != Stage::Dumping) return;
  if (move.error.empty()) move.error = why;
  move.filled.clear();
  context_.cluster.send(move.to, Msg::MoveAbort, MoveEnd{move.transfer, move.chunks, why, 0});
  if (move.stage == Stage::Dumping) {
    move.stage = Stage::Aborted;
    verdict(move, VerdictKind::Abort, why);
  }
}

void OutgoingMoves::handle(int from, Msg type, const std::string& payload) {
  if (type == Msg::MoveAsk) return begin(from, unpack<MoveRequest>(payload));
  if (type == Msg::MoveResumed) {
    const auto message = unpack<MoveResumed>(payload);
    Move* move = by_transfer(from, message.transfer);
    if (move == nullptr || move->stage == Stage::Over) return;
    move->destination_times = message.times;
    move->made_files = message.made_files;
    move->frozen_ns = message.frozen_ns;
    move->reached = "resume";
    move->meter.report(context_.links, move->to);
    verdict(*move, VerdictKind::Resumed, {});
    if (move->stage == Stage::Orphaned) finish(*move, true);  // this side's copy is gone already
    return;
  }
  const auto word = unpack<MoveWord>(payload);
  Move* move = by_transfer(from, word.transfer);
  if (move == nullptr || move->stage == Stage::Over) return;
  switch (type) {
    case Msg::MoveAccept:
      return accepted(*move);
    case Msg::MoveRefuse:
      move->error = fmt::format("{} refuses: {}", context_.cluster.node_name(from), word.text);
      return finish(*move, false);
    case Msg::MoveReady:
      move->reached = "ready";
      return;
    case Msg::MoveFailed:
      move->error = word.text;
      move->differing = word.differing;
      if (move->stage == Stage::EndSent) return verdict(*move, VerdictKind::PeerFailed, word.text);
      if (move->stage == Stage::Orphaned) {
        report_orphan_ended(*move);
        return finish(*move, false);
      }
      return abort(*move, word.text);
    case Msg::MoveHandback:
      if (move->error.empty())
        move->error =
            "the restore failed after READY, and the job was handed back" + (word.text.empty() ? "" : ": " + word.text);
      if (move->stage == Stage::Orphaned) {
        report_orphan_ended(*move);
        return finish(*move, false);
      }
      return verdict(*move, VerdictKind::HandedBack, move->error);
    default:
      return;
  }
}

void OutgoingMoves::thawed(PlacedJob& job, const std::string& why) {
  job.moving_out = false;
  Move* move = by_job(job.facts.job);
  if (move == nullptr) return;
  if (move->error.empty()) move->error = why;
  abort(*move, why);
  const bool may_help = std::any_of(move->differing.begin(), move->differing.end(), [&](const std::string& path) {
    return std::find(move->carry.begin(), move->carry.end(), path) == move->carry.end();
  });
  if (may_help) return try_again(*move);
  finish(*move, false);
}

// With what the destination has others of. Who asked for the move hears of the last attempt only.
void OutgoingMoves::try_again(Move& move) {
  const MoveRequest request{move.job, move.to, std::exchange(move.request, 0), move.reason};
  std::vector<std::string> carry = std::move(move.carry);
  carry.insert(carry.end(), move.differing.begin(), move.differing.end());
  const int asker = move.asker;
  finish(move, false);
  begin(asker, request, std::move(carry));
}

void OutgoingMoves::worker_gone(PlacedJob& job) {
  if (Move* move = by_job(job.facts.job)) abort(*move, "the dumping worker died");
}

void OutgoingMoves::finish(Move& move, bool ok) {
  if (move.stage == Stage::Over) return;
  if (ok) move.error.clear();
  move.stage = Stage::Over;
  if (PlacedJob* job = context_.placed.find(move.job)) job->moving_out = false;
  const std::string event = describe(move, ok).dump(-1, ' ', false, json::error_handler_t::replace);
  context_.cluster.log_event(event);
  if (move.request != 0)
    context_.cluster.send(move.asker, Msg::MoveReport, MoveReportMsg{move.job, move.request, event});
  const int origin = context_.cluster.rank_of(move.facts.origin);
  if (origin >= 0) context_.cluster.send(origin, Msg::MoveReport, MoveReportMsg{move.job, 0, event});
  if (move.worker) retired_.push_back(std::move(move.worker));
}

void OutgoingMoves::rank_lost(int rank) {
  for (auto& [transfer, move] : moves_) {
    if (move.to != rank) continue;
    const std::string why = context_.cluster.node_name(rank) + " does not answer any more";
    if (move.stage == Stage::Offered) {
      move.error = why;
      finish(move, false);
    } else if (move.stage == Stage::EndSent) {
      verdict(move, VerdictKind::PeerLost, why);
    } else {
      abort(move, why);
    }
    // Sends to a lost rank never complete: they and the memory they point to are left to the process's end.
    move.in_flight.clear();
    move.filled.clear();
    (void)move.ring.release();
  }
}

}  // namespace drover
