#include "runtime/exchange/load_exchange.h"

#include <algorithm>
#include <cstring>

#include "runtime/jobs/cluster.h"

namespace drover {

void LoadExchange::use(MPI_Comm comm, std::vector<int> members) {
  abandon();
  comm_ = comm;
  members_ = std::move(members);
  next_ns_ = 0;
}

void LoadExchange::no_communicator() {
  abandon();
  comm_ = MPI_COMM_NULL;
}

void LoadExchange::abandon() {
  if (!open_) return;
  // MPI may still write there: a collective can't be cancelled. A few hundred bytes per exclusion stay with it.
  (void)open_.release();
}

void LoadExchange::set_own(const LoadSample& sample) {
  LoadSample own = sample;
  own.round = round_;
  take(rank_, own, monotonic_ns());
}

void LoadExchange::take(int rank, const LoadSample& sample, std::uint64_t now_ns) {
  LoadEntry& entry = table_.at(static_cast<std::size_t>(rank));
  // Round and heartbeat of one node overtake each other: the newer vector counts.
  if (sample.version != kLoadSampleVersion || sample.taken_ns < entry.sample.taken_ns) return;
  entry = {sample, now_ns, false, true};
}

void LoadExchange::heard(int rank, std::span<const std::byte> payload) {
  LoadSample sample;
  if (payload.size() != sizeof sample) return;
  std::memcpy(&sample, payload.data(), sizeof sample);
  take(rank, sample, monotonic_ns());
}

bool LoadExchange::stale(int rank, std::uint64_t now_ns) const {
  const LoadEntry& entry = table_.at(static_cast<std::size_t>(rank));
  const auto limit = times_.stale_after + (entry.second_hand ? 2 * times_.period : Nanoseconds::zero());
  return entry.received_ns == 0 || !entry.listed ||
         age_at(now_ns, entry.received_ns) > static_cast<std::uint64_t>(limit.count());
}

void LoadExchange::heard_of(int first, int end, std::span<const LoadEntry> listed, std::span<const int> ranks) {
  for (int rank = first; rank < end; ++rank) table_.at(static_cast<std::size_t>(rank)).listed = false;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    LoadEntry& entry = table_.at(static_cast<std::size_t>(ranks[i]));
    if (listed[i].sample.version != kLoadSampleVersion) continue;
    if (listed[i].sample.taken_ns >= entry.sample.taken_ns) entry = listed[i];
    entry.listed = true;
  }
}

bool LoadExchange::progress(std::uint64_t now_ns) {
  if (!open_) return false;
  int done = 0;
  mpi::check(MPI_Test(&open_->request, &done, MPI_STATUS_IGNORE), "MPI_Test round");
  if (done == 0) {
    const bool past = now_ns - open_->posted_ns > static_cast<std::uint64_t>(times_.deadline.count());
    if (past && !std::exchange(open_->late, true)) ++counts_.late;
    return false;
  }
  for (std::size_t i = 0; i < members_.size(); ++i) take(members_[i], open_->gathered[i], now_ns);
  ++counts_.rounds;
  ++round_;
  open_.reset();
  next_ns_ = now_ns + static_cast<std::uint64_t>(times_.period.count());
  return true;
}

std::uint64_t LoadExchange::next_due_ns(std::uint64_t told_ns) const {
  if (comm_ != MPI_COMM_NULL && !open_) return next_ns_;
  return told_ns + static_cast<std::uint64_t>(times_.period.count());
}

void LoadExchange::post(std::uint64_t now_ns) {
  if (open_ || comm_ == MPI_COMM_NULL) return;
  open_ = std::make_unique<Round>();
  open_->gathered.resize(members_.size());
  open_->own = table_[static_cast<std::size_t>(rank_)].sample;
  open_->own.round = round_;
  open_->posted_ns = now_ns;
  mpi::check(MPI_Iallgather(&open_->own, sizeof(LoadSample), MPI_BYTE, open_->gathered.data(), sizeof(LoadSample),
                            MPI_BYTE, comm_, &open_->request),
             "MPI_Iallgather");
}

}  // namespace drover
