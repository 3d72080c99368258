#include "runtime/exchange/summary_exchange.h"

#include <algorithm>
#include <utility>

namespace drover {

static std::uint64_t count_ns(Nanoseconds time) { return static_cast<std::uint64_t>(time.count()); }

SummaryExchange::SummaryExchange(int self, const GroupLayout& layout, const ExchangeTimes& times)
    : self_(self), layout_(layout), times_(times), known_(static_cast<std::size_t>(layout.groups)) {}

SummaryExchange::~SummaryExchange() { abandon(); }

void SummaryExchange::use(const ViewComms& comms, const std::vector<int>& view) {
  abandon();
  comms_ = comms;
  leader_ = comms.leaders != MPI_COMM_NULL;
  groups_.clear();
  for (const int rank : leaders_of(layout_, view)) groups_.push_back(layout_.group_of(rank));
  next_ns_ = spread_ns_ = 0;
  spread_due_ = false;
}

void SummaryExchange::no_communicators() {
  abandon();
  comms_ = {};
  leader_ = false;
}

void SummaryExchange::abandon() {
  // MPI may still write there: a collective can't be cancelled.
  (void)round_.release();
  (void)spread_.release();
}

void SummaryExchange::take(const GroupSummary& summary, int group, std::uint64_t now_ns) {
  Known& known = known_[static_cast<std::size_t>(group)];
  if (!well_formed(summary, layout_, group)) return;
  const std::uint64_t true_ns = now_ns - std::min(now_ns - 1, summary.age_ns);
  // Round, heartbeat and broadcast overtake each other. Clocks of two leaders differ, their ages do not.
  const bool same_leader = summary.leader == known.summary.leader;
  if (same_leader ? summary.taken_ns <= known.summary.taken_ns : true_ns <= known.true_ns) return;
  known = {summary, true_ns};
}

bool SummaryExchange::heard(int from, const LeaderBeat& beat, std::uint64_t now_ns) {
  const int group = layout_.group_of(from);
  if (!well_formed(beat.summary, layout_, group)) return false;
  take(beat.summary, group, now_ns);
  return true;
}

std::uint64_t SummaryExchange::next_due_ns(std::uint64_t told_ns) const {
  if (leader_ && !round_) return next_ns_;
  return told_ns + count_ns(times_.period);
}

void SummaryExchange::post(const GroupSummary& own, std::uint64_t now_ns) {
  take(own, own.group, now_ns);
  if (!leader_ || round_) return;
  round_ = std::make_unique<Round>();
  round_->gathered.resize(groups_.size());
  round_->own = own;
  round_->posted_ns = now_ns;
  mpi::check(MPI_Iallgather(&round_->own, sizeof(GroupSummary), MPI_BYTE, round_->gathered.data(), sizeof(GroupSummary),
                            MPI_BYTE, comms_.leaders, &round_->request),
             "MPI_Iallgather of summaries");
}

// True if the leaders' round has completed.
bool SummaryExchange::gathered(std::uint64_t now_ns) {
  if (!round_) return false;
  int done = 0;
  mpi::check(MPI_Test(&round_->request, &done, MPI_STATUS_IGNORE), "MPI_Test round of leaders");
  if (done == 0) {
    const bool past = now_ns - round_->posted_ns > count_ns(times_.deadline);
    if (past && !std::exchange(round_->late, true)) ++counts_.late;
    return false;
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) take(round_->gathered[i], groups_[i], now_ns);
  ++counts_.rounds;
  round_.reset();
  next_ns_ = now_ns + count_ns(times_.period);
  return true;
}

void SummaryExchange::open_spread(std::uint64_t now_ns) {
  spread_ = std::make_unique<Spread>();
  spread_->summaries.resize(known_.size());
  if (leader_)
    for (std::size_t group = 0; group < known_.size(); ++group) {
      spread_->summaries[group] = known_[group].summary;
      spread_->summaries[group].age_ns = age_at(now_ns, known_[group].true_ns);
    }
  mpi::check(MPI_Ibcast(spread_->summaries.data(), static_cast<int>(known_.size() * sizeof(GroupSummary)), MPI_BYTE, 0,
                        comms_.spread, &spread_->request),
             "MPI_Ibcast of summaries");
}

// True if a broadcast has begun.
bool SummaryExchange::lead(std::uint64_t now_ns) {
  if (gathered(now_ns)) spread_due_ = true;
  if (spread_) {
    int done = 0;
    mpi::check(MPI_Test(&spread_->request, &done, MPI_STATUS_IGNORE), "MPI_Test broadcast of summaries");
    if (done == 0) return false;
    spread_.reset();
  }
  if (spread_ns_ == 0) spread_ns_ = now_ns;  // the first waits for the first round
  if (!spread_due_ && now_ns - spread_ns_ < count_ns(times_.period + times_.deadline)) return false;
  spread_due_ = false;
  spread_ns_ = now_ns;
  ++spreads_;
  open_spread(now_ns);
  return true;
}

// True if a broadcast has come.
bool SummaryExchange::follow(std::uint64_t now_ns) {
  bool news = false;
  for (;;) {
    if (!spread_) open_spread(now_ns);
    int done = 0;
    mpi::check(MPI_Test(&spread_->request, &done, MPI_STATUS_IGNORE), "MPI_Test broadcast of summaries");
    if (done == 0) return news;
    const auto come = std::exchange(spread_, nullptr);
    for (std::size_t group = 0; group < known_.size(); ++group)
      take(come->summaries[group], static_cast<int>(group), now_ns);
    ++spreads_;
    news = true;
  }
}

SummaryExchange::Progress SummaryExchange::progress(std::uint64_t now_ns) {
  if (comms_.spread == MPI_COMM_NULL) return {};
  if (!leader_) return {follow(now_ns), false};
  const bool begun = lead(now_ns);
  return {begun, begun};
}

}  // namespace drover
