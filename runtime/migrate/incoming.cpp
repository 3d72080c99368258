#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/error.h"
#include "runtime/migrate/movers.h"
#include "runtime/migrate/register.h"

namespace drover {

using shepherd::Type;
using shepherd::VerdictKind;

IncomingMoves::Move* IncomingMoves::find(const Key& key) {
  const auto found = moves_.find(key);
  return found == moves_.end() ? nullptr : &found->second;
}

IncomingMoves::Move* IncomingMoves::by_job(std::int64_t job) {
  for (auto& [key, move] : moves_)
    if (move.job == job && !move.dead) return &move;
  return nullptr;
}

void IncomingMoves::tell_source(const Move& move, Msg type, const std::string& text) {
  context_.cluster.send(move.key.first, type, MoveWord{move.key.second, text});
}

void IncomingMoves::handle(int from, Msg type, const std::string& payload) {
  if (type == Msg::MoveOffer) return offered(from, unpack<MoveOffer>(payload));
  const auto end = unpack<MoveEnd>(payload);
  Move* move = find({from, end.transfer});
  if (move == nullptr) return;
  move->expected = end.chunks;
  if (end.frozen_ns != 0) move->frozen_since_ns = monotonic_ns() - end.frozen_ns;
  if (type == Msg::MoveAbort) {
    move->aborted = true;
    if (move->worker)
      move->worker->send(static_cast<std::uint16_t>(Type::Verdict),
                         pack(shepherd::Verdict{VerdictKind::Abort, end.text}));
    if (PlacedJob* job = context_.placed.find(move->job); job != nullptr && job->moving_in)
      context_.placed.tell(*job, Type::Quit, {});
    move->dead = true;
    // What is still on its way is taken and dropped.
    for (std::uint32_t slot = 0; slot < move->shape.slots && move->arrived + move->posted.size() < end.chunks; ++slot)
      if (std::none_of(move->posted.begin(), move->posted.end(), [&](const Receive& r) { return r.slot == slot; }))
        post(*move, slot);
  }
  settle(*move);
}

void IncomingMoves::offered(int from, const MoveOffer& offer) {
  Cluster& cluster = context_.cluster;
  const auto refuse = [&](const std::string& why) {
    cluster.send(from, Msg::MoveRefuse, MoveWord{offer.transfer, why});
  };
  if (const auto reason = context_.refuse(offer)) return refuse(*reason);
  if (offer.ring.slots < 2 || offer.ring.slots > 64 || offer.ring.slot_bytes > 16U * 1024 * 1024)
    return refuse("bad ring");
  const Key key{from, offer.transfer};
  if (find(key) != nullptr) return refuse("this transfer is still open");
  try {
    Move move;
    move.key = key;
    move.job = offer.facts.job;
    move.epoch = offer.epoch;
    move.source = cluster.node_name(from);
    move.shape = offer.ring;
    move.frozen_before_ns = offer.facts.frozen_ns;
    move.ring = std::make_unique<RingMemory>(RingMemory::create(offer.ring));
    context_.placed.expect_restore(offer.facts, offer.epoch);
    Move& kept = moves_[key] = std::move(move);
    for (std::uint32_t slot = 0; slot < offer.ring.slots; ++slot) post(kept, slot);
    tell_source(kept, Msg::MoveAccept);
  } catch (const std::exception& error) {
    refuse(error.what());
  }
}

void IncomingMoves::ready_to_restore(PlacedJob& job) {
  Move* move = by_job(job.facts.job);
  if (move == nullptr) return context_.placed.tell(job, Type::Quit, {});
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
  move->worker = std::make_unique<FrameSocket>(
      context_.cluster.loop(), UniqueFd(pair[0]),
      FrameSocket::Handlers{[this, key = move->key](Frame&& frame) { on_worker(key, std::move(frame)); },
                            [this, key = move->key](const std::string&) {
                              if (Move* closed = find(key); closed != nullptr && closed->worker)
                                retired_.push_back(std::move(closed->worker));
                            },
                            {}});
  std::vector<UniqueFd> fds;
  fds.emplace_back(pair[1]);
  fds.emplace_back(check(::dup(move->ring->fd()), "dup", "ring"));
  const shepherd::Restore order{move->epoch, move->shape, false, move->source, context_.cluster.self_name()};
  context_.placed.tell(job, Type::Restore, pack(order), std::move(fds));
  // Chunks may have come before the worker: its socket keeps what is sent now until it reads.
}

void IncomingMoves::post(Move& move, std::uint32_t slot) {
  const auto memory = move.ring->slot(slot);
  Receive receive{slot, MPI_REQUEST_NULL};
  mpi::check(MPI_Irecv(memory.data(), static_cast<int>(memory.size()), MPI_BYTE, move.key.first,
                       static_cast<int>(move.key.second), context_.images, &receive.request),
             "MPI_Irecv image");
  move.posted.push_back(receive);
}

bool IncomingMoves::progress() {
  bool any = false;
  for (auto& [key, move] : moves_) {
    // Without its worker the chunks wait in their slots: the credit of the link is the posted receives.
    while (!move.posted.empty() && (move.worker || move.dead)) {
      int done = 0;
      MPI_Status status;
      mpi::check(MPI_Test(&move.posted.front().request, &done, &status), "MPI_Test image");
      if (done == 0) break;
      any = true;
      int bytes = 0;
      mpi::check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
      const Receive receive = move.posted.front();
      move.posted.pop_front();
      arrived(move, receive, bytes);
    }
  }
  // A transfer is forgotten when every chunk of it has been taken: else the source's sends would never complete.
  std::erase_if(moves_, [](const auto& entry) {
    const Move& move = entry.second;
    return move.dead && move.posted.empty() && move.expected && move.arrived >= *move.expected;
  });
  retired_.clear();
  return any;
}

void IncomingMoves::arrived(Move& move, const Receive& receive, int bytes) {
  ++move.arrived;
  if (!move.dead && move.worker)
    move.worker->send(static_cast<std::uint16_t>(Type::RingFilled),
                      pack(shepherd::RingSlot{receive.slot, static_cast<std::uint32_t>(bytes)}));
  else if (!move.expected || move.arrived + move.posted.size() < *move.expected)
    post(move, receive.slot);
  settle(move);
}

bool IncomingMoves::bulk() const {
  return std::any_of(moves_.begin(), moves_.end(), [](const auto& entry) {
    return !entry.second.posted.empty() && (!entry.second.expected || entry.second.arrived < *entry.second.expected);
  });
}

// Once it is known how many chunks come in all, receives beyond them are taken back.
void IncomingMoves::settle(Move& move) {
  if (!move.expected) return;
  while (move.arrived + move.posted.size() > *move.expected && !move.posted.empty()) {
    MPI_Request request = move.posted.back().request;
    move.posted.pop_back();
    MPI_Cancel(&request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);  // immediate: a receive that has matched nothing
  }
}

void IncomingMoves::on_worker(Key key, Frame&& frame) {
  Move* move = find(key);
  if (move == nullptr) return;
  switch (static_cast<Type>(frame.type)) {
    case Type::RingFree: {
      const auto slot = unpack<shepherd::RingSlot>(frame.payload).slot;
      if (!move->expected || move->arrived + move->posted.size() < *move->expected) post(*move, slot);
      return;
    }
    case Type::Ready:
      move->ready = true;
      return tell_source(*move, Msg::MoveReady);
    case Type::WorkerFailed: {
      auto failure = unpack<shepherd::WorkerFailure>(frame.payload);
      move->failure = std::move(failure.reason);
      move->differing = std::move(failure.differing);
      return;
    }
    case Type::LostRegister:
      move->failure = "the register went to the source";
      return;
    case Type::InDoubt:
      move->failure = unpack<shepherd::Text>(frame.payload).text;
      if (const PlacedJob* job = context_.placed.find(move->job))
        context_.placed.tell_origin(
            *job, Msg::JobMoving,
            pack(JobNotice{move->job, move->epoch, "in-doubt", "the register can't be reached: " + move->failure}));
      return;
    default:
      return;
  }
}

// From the freeze at the source until the job is known to run here. Two hosts' clocks may differ by more than a move
// takes, so each side counts its own part by its own. The source's is known well before the job runs, as a rule; else
// the part that is missing is what the source did before the first of the image was here.
std::uint64_t IncomingMoves::frozen_ns(const Move& move, const shepherd::PhaseTimes& times) {
  if (move.frozen_since_ns == 0) return times.restore_ns + times.commit_ns + times.resume_ns;
  return monotonic_ns() - move.frozen_since_ns;
}

void IncomingMoves::running(PlacedJob& job, const shepherd::RunningHere& here) {
  Move* move = by_job(job.facts.job);
  if (move == nullptr) return;
  move->resumed = true;
  const std::uint64_t frozen = frozen_ns(*move, here.times);
  job.facts.frozen_ns = move->frozen_before_ns + frozen;
  context_.placed.tell(job, Type::FrozenFor, pack(job.facts.frozen_ns));
  context_.cluster.send(move->key.first, Msg::MoveResumed,
                        MoveResumed{move->key.second, here.times, here.made_files, frozen});
  for (const int signo : std::exchange(job.held_signals, {})) context_.placed.tell(job, Type::Signal, pack(signo));
  move->dead = true;
  // All of it is here, whether the source's count of it has come or not.
  if (!move->expected) move->expected = move->arrived;
  settle(*move);
}

void IncomingMoves::fail(Move& move, const std::string& reason) {
  spdlog::info("job {} could not be restored here: {}", move.job, reason);
  context_.cluster.send(move.key.first, Msg::MoveFailed, MoveWord{move.key.second, reason, move.differing});
  move.dead = true;  // the source answers with how many chunks it has sent
}

void IncomingMoves::worker_gone(PlacedJob& job) {
  if (Move* move = by_job(job.facts.job))
    fail(*move, move->failure.empty() ? "the restoring worker died" : move->failure);
}

void IncomingMoves::handed_back(PlacedJob& job) {
  Move* move = by_job(job.facts.job);
  if (move == nullptr) return;
  tell_source(*move, Msg::MoveHandback, move->failure);
  move->dead = true;
}

void IncomingMoves::shepherd_lost(PlacedJob& job) {
  Move* move = by_job(job.facts.job);
  if (move == nullptr || move->resumed) return;
  if (!move->ready) return fail(*move, move->failure.empty() ? "the shepherd died" : move->failure);
  hand_back(*move);
}

// The whole shepherd is gone after READY, and whatever it held: the register gives the job back, under the next epoch
// if this side had won.
void IncomingMoves::hand_back(Move& move) {
  move.dead = true;
  auto done = std::make_shared<bool>(false);
  Cluster& cluster = context_.cluster;
  const Owner back{move.source, "droverd of " + cluster.self_name()};
  cluster.in_background(
      [done, back, dir = cluster.paths().job_dir(move.job), epoch = move.epoch] {
        const Owner owner = claim_ownership(dir, epoch, back);
        if (owner.node != back.node) claim_ownership(dir, epoch + 1, back);
        *done = true;
      },
      [this, done, key = move.key] {
        // Unreachable: the source's worker asks the register itself when it hears nothing.
        if (*done)
          context_.cluster.send(key.first, Msg::MoveHandback, MoveWord{key.second, "the shepherd died after READY"});
      });
}

void IncomingMoves::rank_lost(int rank) {
  for (auto& [key, move] : moves_) {
    if (key.first != rank) continue;
    // Whole already: the worker goes on to the register by itself. Else nothing more can come.
    if (move.expected && !move.aborted && move.arrived == *move.expected) continue;
    for (auto& receive : move.posted) {
      MPI_Cancel(&receive.request);
      MPI_Wait(&receive.request, MPI_STATUS_IGNORE);
    }
    move.posted.clear();
    move.expected = move.arrived;
    if (move.dead) continue;
    if (PlacedJob* job = context_.placed.find(move.job)) context_.placed.tell(*job, Type::Quit, {});
    move.dead = true;
  }
}

}  // namespace drover
