// The load vectors of all nodes: one MPI_Iallgather per round, and heartbeats beside it. On two levels those of the own
// group; what is known of other groups comes from their summaries (summary_exchange.h).
//
// The hard part is that a collective can't say who is late. So at most one round is open, the next is posted one period
// after its completion (a fixed schedule never recovers from a stopped rank), and what counts past the deadline are the
// heartbeat datagrams, each of which carries its node's vector.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/config/exchange_times.h"
#include "runtime/control/loop.h"
#include "runtime/exchange/load_table.h"
#include "runtime/mpi/world.h"

namespace drover {

struct ExchangeCounts {
  std::uint64_t rounds = 0, late = 0;
};

class LoadExchange {
 public:
  LoadExchange(int rank, int size, const ExchangeTimes& times)
      : rank_(rank), times_(times), table_(static_cast<std::size_t>(size)) {}
  LoadExchange(const LoadExchange&) = delete;
  ~LoadExchange() { abandon(); }

  // The communicator of the present view; `members[i]` is the world rank of its rank i. An open round of the former one
  // is abandoned (its memory stays with MPI).
  void use(MPI_Comm comm, std::vector<int> members);
  void no_communicator();  // a new view is being made: heartbeats only

  // Own vector for the coming round and heartbeat.
  void set_own(const LoadSample& sample);
  void heard(int rank, std::span<const std::byte> payload);  // a heartbeat
  // What the summary of another group says of ranks `first` to `end`: of those it does not list nothing counts any
  // more.
  void heard_of(int first, int end, std::span<const LoadEntry> listed, std::span<const int> ranks);
  bool progress(std::uint64_t now_ns);  // true if the open round completed
  // When the own vector is due, if it was told at `told_ns` the last time: with the next round, and every period while
  // there is no round to post.
  std::uint64_t next_due_ns(std::uint64_t told_ns) const;
  // Posts the next round unless one is open. The heartbeats go after it: they are the doorbells of what it has sent,
  // and whoever posts last so ends the round for everyone at once.
  void post(std::uint64_t now_ns);

  const LoadTable& table() const { return table_; }
  // Not to be decided by: never heard, too old (a way over two levels takes a round more on each), or no longer listed.
  bool stale(int rank, std::uint64_t now_ns) const;
  std::uint64_t round() const { return round_; }
  bool first_round_done() const { return counts_.rounds > 0; }
  const ExchangeCounts& counts() const { return counts_; }

 private:
  struct Round {
    std::vector<LoadSample> gathered;
    LoadSample own;
    MPI_Request request = MPI_REQUEST_NULL;
    std::uint64_t posted_ns = 0;
    bool late = false;
  };
  void take(int rank, const LoadSample& sample, std::uint64_t now_ns);
  void abandon();

  int rank_;
  ExchangeTimes times_;
  LoadTable table_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  std::vector<int> members_;
  std::unique_ptr<Round> open_;
  std::uint64_t next_ns_ = 0;
  std::uint64_t round_ = 0;
  ExchangeCounts counts_;
};

}  // namespace drover
