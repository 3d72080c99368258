// What a round of load sharing costs: one rank of an MPI program that shares load vectors in rounds as droverd does, by
// the same classes on the same kind of loop, and does nothing else. tests/bench/exchange_bench.py starts it.
//
// usage (under mpirun): exchange_bench ROUNDS PERIOD_MS TWO_LEVEL_ABOVE
//
// The floor is measured in the same run: MPI_Allgather of 64 bytes again and again, which spins and looks at nothing
// else. A round can't be as quick: between its steps its ranks sleep, and are woken by datagrams.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <numeric>
#include <vector>

#include "runtime/control/clock.h"
#include "runtime/exchange/load_exchange.h"
#include "runtime/exchange/summary_exchange.h"
#include "runtime/exchange/view_comms.h"
#include "runtime/mpi/doorbell.h"

namespace drover {
namespace {

constexpr std::uint64_t kHotWindowNs = 1'500'000;
constexpr auto kTick = std::chrono::milliseconds(200);

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

class Rank {
 public:
  Rank(mpi::World& world, const ExchangeTimes& times, int two_level_above)
      : world_(world),
        layout_(lay_out_groups(world.size(), two_level_above)),
        exchange_(world.rank(), world.size(), times),
        summaries_(world.rank(), layout_, times) {
    ::prctl(PR_SET_TIMERSLACK, 1);
    std::vector<mpi::DoorbellAddress> peers(static_cast<std::size_t>(world.size()));
    const mpi::DoorbellAddress own = doorbell_.address();
    mpi::check(MPI_Allgather(&own, sizeof own, MPI_BYTE, peers.data(), sizeof own, MPI_BYTE, MPI_COMM_WORLD),
               "MPI_Allgather of addresses");
    doorbell_.set_peers(peers, std::vector<bool>(peers.size(), true), 4711, world.rank());
    std::vector<int> everyone(peers.size());
    std::iota(everyone.begin(), everyone.end(), 0);
    const ViewComms comms = make_view_comms(MPI_COMM_WORLD, world.rank(), layout_, everyone, 0);
    exchange_.use(comms.round, members_of_group(layout_, everyone, layout_.group_of(world.rank())));
    if (layout_.two_level()) summaries_.use(comms, everyone);
    leads_ = comms.leaders != MPI_COMM_NULL;
    leaders_ = leaders_of(layout_, everyone);
    loop_.watch(doorbell_.fd(), EPOLLIN, [](std::uint32_t) {});
  }

  // Seconds from posting each round to its end.
  std::vector<double> run(std::uint64_t rounds) {
    std::vector<double> took;
    const std::uint64_t until = exchange_.counts().rounds + rounds;
    while (exchange_.counts().rounds < until) {
      const std::uint64_t before = exchange_.counts().rounds;
      const Nanoseconds sleep = turn();
      if (exchange_.counts().rounds > before)
        took.push_back(static_cast<double>(ended_ns_ - posted_ns_) / 1e9);
      else
        loop_.run_once(sleep);
    }
    return took;
  }

 private:
  // As Node::turn().
  Nanoseconds turn() {
    const std::uint64_t now = monotonic_ns();
    bool active = doorbell_.drain([&](int rank, std::span<const std::byte> payload) { heard(rank, payload, now); });
    if (exchange_.progress(now)) {
      active = true;
      ended_ns_ = now;
    }
    active = share_summaries(now) || active;
    if (now >= exchange_.next_due_ns(told_ns_)) {
      share_vector();
      active = true;
    }
    if (active) {
      hot_until_ns_ = monotonic_ns() + kHotWindowNs;
      hot_wait_ = std::chrono::microseconds(100);
    }
    if (monotonic_ns() < hot_until_ns_) return std::exchange(hot_wait_, 2 * hot_wait_);
    std::uint64_t due = exchange_.next_due_ns(told_ns_);
    if (leads_) due = std::min(due, summaries_.next_due_ns(summary_told_ns_));
    const std::uint64_t then = monotonic_ns();
    return std::min<Nanoseconds>(kTick, Nanoseconds(due > then ? due - then : 0));
  }

  void heard(int rank, std::span<const std::byte> payload, std::uint64_t now) {
    LeaderBeat beat;
    if (payload.size() != sizeof beat) return exchange_.heard(rank, payload);
    std::memcpy(&beat, payload.data(), sizeof beat);
    summaries_.heard(rank, beat, now);
  }

  void share_vector() {
    LoadSample sample;
    sample.taken_ns = realtime_ns();
    exchange_.set_own(sample);
    told_ns_ = posted_ns_ = monotonic_ns();
    exchange_.post(told_ns_);
    const int group = layout_.group_of(world_.rank());
    for (int rank = layout_.first(group); rank < layout_.end(group); ++rank)
      if (rank != world_.rank()) doorbell_.send_heartbeat(rank, std::as_bytes(std::span(&sample, 1)));
  }

  bool share_summaries(std::uint64_t now) {
    if (!layout_.two_level()) return false;
    const int group = layout_.group_of(world_.rank());
    const auto progress = summaries_.progress(now);
    if (progress.spread)
      for (int rank = layout_.first(group); rank < layout_.end(group); ++rank)
        if (rank != world_.rank()) doorbell_.ring(rank);
    if (!leads_ || now < summaries_.next_due_ns(summary_told_ns_)) return progress.news;
    summary_told_ns_ = now;
    const std::vector<bool> usable(static_cast<std::size_t>(layout_.count(group)), true);
    LeaderBeat beat;
    beat.summary = summarize(layout_, world_.rank(), exchange_.table(), usable, now, realtime_ns());
    summaries_.post(beat.summary, now);
    for (const int rank : leaders_)
      if (rank != world_.rank()) doorbell_.send_heartbeat(rank, std::as_bytes(std::span(&beat, 1)));
    return true;
  }

  mpi::World& world_;
  GroupLayout layout_;
  LoadExchange exchange_;
  SummaryExchange summaries_;
  mpi::Doorbell doorbell_{""};
  EventLoop loop_;
  bool leads_ = false;
  std::vector<int> leaders_;
  std::uint64_t told_ns_ = 0, summary_told_ns_ = 0, posted_ns_ = 0, ended_ns_ = 0, hot_until_ns_ = 0;
  Nanoseconds hot_wait_{0};
};

// Seconds for one: the quickest of many short series, for whatever else runs only ever slows them.
double floor_of(int size) {
  constexpr int kSeries = 50, kTimes = 10;
  char own[64] = {};
  std::vector<char> all(sizeof own * static_cast<std::size_t>(size));
  double best = 1e9;
  for (int series = 0; series < kSeries; ++series) {
    MPI_Barrier(MPI_COMM_WORLD);
    const std::uint64_t begin = monotonic_ns();
    for (int i = 0; i < kTimes; ++i)
      mpi::check(MPI_Allgather(own, sizeof own, MPI_BYTE, all.data(), sizeof own, MPI_BYTE, MPI_COMM_WORLD),
                 "MPI_Allgather");
    best = std::min(best, static_cast<double>(monotonic_ns() - begin) / 1e9 / kTimes);
  }
  return best;
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values.at(static_cast<std::size_t>(q * static_cast<double>(values.size() - 1)));
}

// Of all ranks, to rank 0.
std::vector<double> gather(const std::vector<double>& own, int size) {
  std::vector<double> all(own.size() * static_cast<std::size_t>(size));
  const int count = static_cast<int>(own.size());
  mpi::check(MPI_Gather(own.data(), count, MPI_DOUBLE, all.data(), count, MPI_DOUBLE, 0, MPI_COMM_WORLD), "MPI_Gather");
  return all;
}

void measure(mpi::World& world, std::uint64_t rounds, int period_ms, int two_level_above) {
  const double floor_before = floor_of(world.size());
  ExchangeTimes times;
  times.period = std::chrono::milliseconds(period_ms);
  times.deadline = times.period / 2;
  std::vector<double> took, cpu(1);
  {
    Rank rank(world, times, two_level_above);
    rank.run(5);
    const double cpu_before = cpu_seconds();
    took = rank.run(rounds);
    cpu[0] = (cpu_seconds() - cpu_before) / static_cast<double>(rounds);
    // Its last round's messages are still to be taken by others: requests of a round that never ends stay with MPI.
    MPI_Barrier(MPI_COMM_WORLD);
  }
  const double floor_after = floor_of(world.size());
  const auto all = gather(took, world.size()), cpus = gather(cpu, world.size());
  if (world.rank() != 0) return;
  const double floor = std::min(floor_before, floor_after), median = quantile(all, 0.5);
  fmt::print(
      R"({{"ranks": {}, "groups": {}, "rounds": {}, "period_ms": {}, "round_us": {:.1f}, "round_p90_us": {:.1f}, )"
      R"("cpu_us_per_round": {:.1f}, "cpu_us_per_round_most": {:.1f}, "floor_us": {:.1f}, "ratio": {:.2f}}})"
      "\n",
      world.size(), lay_out_groups(world.size(), two_level_above).groups, rounds, period_ms, median * 1e6,
      quantile(all, 0.9) * 1e6, std::accumulate(cpus.begin(), cpus.end(), 0.0) / world.size() * 1e6,
      quantile(cpus, 1) * 1e6, floor * 1e6, median / floor);
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::mpi::World world(&argc, &argv);
  if (argc != 4) {
    fmt::print(stderr, "usage: mpirun ... {} ROUNDS PERIOD_MS TWO_LEVEL_ABOVE\n", argv[0]);
    return 2;
  }
  drover::measure(world, std::strtoul(argv[1], nullptr, 10), std::atoi(argv[2]), std::atoi(argv[3]));
  world.finalize();
}
