// The two sides of a migration in droverd: outgoing at the source, incoming at the destination. What blocks is in the
// workers; here are the messages between the ranks, the chunks of the image between ring and MPI, and what to tell
// whom.
//
// docs/migration.md has the protocol and the table of what lives after which death.
#pragma once

#include <mpi.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/control/frame_socket.h"
#include "runtime/jobs/placed.h"
#include "runtime/migrate/link_speeds.h"
#include "runtime/migrate/ring.h"
#include "runtime/mpi/world.h"

namespace drover {

// What both sides need of their node.
struct MoveContext {
  Cluster& cluster;
  PlacedJobs& placed;
  MPI_Comm images;  // the communicator that carries chunks, tag = transfer
  LinkSpeeds& links;
  std::function<std::optional<std::string>(const MoveOffer&)> refuse;  // this node's reasons not to take a job
  std::function<NodeView()> own_view;                                  // this node now
  // How long a source waits for a word: to its offer, and after the image's end. It decides nothing then but asks the
  // register.
  Nanoseconds answer_deadline = std::chrono::seconds(30);
};

class OutgoingMoves {
 public:
  explicit OutgoingMoves(MoveContext context) : context_(std::move(context)) {}

  // Begins to move `job` to rank `to`. A report goes to `asker` (if request != 0) and to the job's origin in any case.
  // `carry`: files that go along as content.
  void begin(int asker, const MoveRequest& request, std::vector<std::string> carry = {});
  void handle(int from, Msg type, const std::string& payload);
  bool progress();    // MPI; true if anything happened
  bool bulk() const;  // chunks are in flight
  bool any() const { return !moves_.empty(); }
  void rank_lost(int rank);
  // From the job's shepherd.
  void thawed(PlacedJob& job, const std::string& why);
  void moved_away(PlacedJob& job, const std::vector<std::int32_t>& held_signals);
  void ended(PlacedJob& job);
  void worker_gone(PlacedJob& job);
  void shepherd_lost(PlacedJob& job);

 private:
  // Aborted: told to give up before END. Orphaned: the shepherd here died past END, the job may live at the
  // destination.
  enum class Stage { Offered, Dumping, Aborted, EndSent, Orphaned, Over };
  struct Chunk {
    shepherd::RingSlot slot;
    MPI_Request request;
  };
  struct Move {
    std::uint32_t transfer = 0;
    std::int64_t job = 0, epoch = 0;
    shepherd::JobFacts facts;
    int to = -1, asker = -1;
    std::uint64_t request = 0;
    std::string reason, error;
    std::vector<std::string> carry, differing;  // files that go along; that the destination has others of
    Stage stage = Stage::Offered;
    std::string reached = "offer";
    std::unique_ptr<RingMemory> ring;
    std::unique_ptr<FrameSocket> worker;
    std::deque<shepherd::RingSlot> filled;  // by the worker, not yet sent
    std::deque<Chunk> in_flight;
    TransferMeter meter;
    std::uint64_t chunks = 0;  // sent or in flight
    std::uint64_t began_ns = 0, first_chunk_ns = 0, last_chunk_ns = 0, frozen_ns = 0;
    shepherd::PhaseTimes source_times, destination_times;
    std::vector<MemoryFile> memory_files;                // that the job writes to
    std::optional<std::vector<std::string>> made_files;  // of those that D has made for it, once D has said so
  };

  Move* by_transfer(int from, std::uint32_t transfer);
  Move* by_job(std::int64_t job);
  void report_refusal(int asker, const MoveRequest& request, const std::string& reason);
  void accepted(Move& move);
  void on_worker(std::uint32_t transfer, Frame&& frame);
  void on_worker_closed(std::uint32_t transfer);
  void chunk_filled(Move& move, const shepherd::RingSlot& slot);
  void send_filled(Move& move);
  void abort(Move& move, const std::string& why);
  void verdict(Move& move, shepherd::VerdictKind kind, const std::string& reason);
  void notice(const Move& move, const char* state, const std::string& text);
  void finish(Move& move, bool ok);
  void remove_files(const Move& move);  // and finish
  void try_again(Move& move);
  void settle_orphan(std::uint32_t transfer);
  void report_orphan_ended(const Move& move);
  nlohmann::json describe(const Move& move, bool ok) const;

  MoveContext context_;
  std::map<std::uint32_t, Move> moves_;
  std::vector<std::unique_ptr<FrameSocket>> retired_;
  std::uint32_t next_transfer_ = 1;
};

class IncomingMoves {
 public:
  explicit IncomingMoves(MoveContext context) : context_(std::move(context)) {}

  void handle(int from, Msg type, const std::string& payload);
  bool progress();
  bool bulk() const;
  bool any() const { return !moves_.empty(); }
  void rank_lost(int rank);
  void ready_to_restore(PlacedJob& job);
  void running(PlacedJob& job, const shepherd::RunningHere& here);
  void worker_gone(PlacedJob& job);
  void handed_back(PlacedJob& job);
  void shepherd_lost(PlacedJob& job);

 private:
  using Key = std::pair<int, std::uint32_t>;  // source rank, transfer
  struct Receive {
    std::uint32_t slot;
    MPI_Request request;
  };
  struct Move {
    Key key;
    std::int64_t job = 0, epoch = 0;
    std::string source;  // node name
    shepherd::RingShape shape;
    bool compress = false;
    std::unique_ptr<RingMemory> ring;
    std::unique_ptr<FrameSocket> worker;
    std::deque<Receive> posted;  // in the order of posting, which is the order of arrival
    std::uint64_t arrived = 0;
    std::optional<std::uint64_t> expected;  // chunks in all, once known
    std::uint64_t frozen_before_ns = 0;     // by earlier moves
    std::uint64_t frozen_since_ns = 0;      // CLOCK_MONOTONIC here, by what MoveEnd has told; 0: it has not come
    bool aborted = false, ready = false, resumed = false, dead = false;
    std::string failure;
    std::vector<std::string> differing;  // Refusal::differing of that
  };

  Move* find(const Key& key);
  Move* by_job(std::int64_t job);
  void offered(int from, const MoveOffer& offer);
  void post(Move& move, std::uint32_t slot);
  void arrived(Move& move, const Receive& receive, int bytes);
  void on_worker(Key key, Frame&& frame);
  static std::uint64_t frozen_ns(const Move& move, const shepherd::PhaseTimes& times);
  void fail(Move& move, const std::string& reason);
  void hand_back(Move& move);
  void settle(Move& move);  // cancels what will not come; forgets the move when nothing is open
  void tell_source(const Move& move, Msg type, const std::string& text = {});

  MoveContext context_;
  std::map<Key, Move> moves_;
  std::vector<std::unique_ptr<FrameSocket>> retired_;
};

}  // namespace drover
