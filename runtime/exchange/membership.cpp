#include "runtime/exchange/membership.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace drover {

Membership::Membership(int self, const GroupLayout& layout, MPI_Comm world, Nanoseconds suspect_after, Actions actions)
    : self_(self),
      layout_(layout),
      world_(world),
      suspect_ns_(static_cast<std::uint64_t>(suspect_after.count())),
      actions_(std::move(actions)),
      heard_ns_(static_cast<std::size_t>(layout.size)) {
  if (layout.two_level()) watch_.emplace(self, layout, suspect_ns_);
  for (int rank = 0; rank < layout.size; ++rank) members_.insert(rank);
  view_members_.assign(members_.begin(), members_.end());
}

void Membership::heard(int rank, std::uint64_t now_ns) {
  heard_ns_.at(static_cast<std::size_t>(rank)) = now_ns;
  if (watch_) watch_->heard(rank, now_ns);
}

void Membership::leader_heard(int from, const AliveSet& alive, std::uint64_t now_ns) {
  if (watch_) watch_->leader_heard(from, alive, members_, now_ns);
}

std::vector<std::int32_t> Membership::alive(std::uint64_t now_ns) const {
  if (watch_) return watch_->alive(members_, now_ns);
  std::vector<std::int32_t> alive;
  for (std::size_t rank = 0; rank < heard_ns_.size(); ++rank)
    if (static_cast<int>(rank) == self_ || now_ns - heard_ns_[rank] < suspect_ns_)
      alive.push_back(static_cast<std::int32_t>(rank));
  return alive;
}

void Membership::tick(std::uint64_t now_ns) {
  poll_helper();
  // We ourselves were stopped: nobody's silence means anything then.
  const bool stopped = last_tick_ns_ == 0 || now_ns - last_tick_ns_ > suspect_ns_ / 2;
  if (stopped)
    for (auto& heard : heard_ns_) heard = now_ns;
  if (watch_) watch_->tick(members_, stopped, now_ns);
  last_tick_ns_ = now_ns;
  if (proposal_ && now_ns > proposal_->deadline_ns) proposal_.reset();

  const std::vector<std::int32_t> alive = this->alive(now_ns);
  // Of the present members: one that was excluded and has not heard of it yet must not be waited for to propose itself.
  const auto first = std::find_if(alive.begin(), alive.end(), [&](int rank) { return member(rank); });
  const bool coordinator = first != alive.end() && *first == self_;
  // Somebody may have gone after the view was agreed on: making its communicator never ends then.
  if (making_ && making_->since_ns == 0) making_->since_ns = now_ns;
  const bool making = making_ && now_ns - making_->since_ns < 2 * suspect_ns_;
  if (coordinator && !proposal_ && !making && alive != view_members_) propose(alive, now_ns);
}

void Membership::propose(const std::vector<std::int32_t>& alive, std::uint64_t now_ns) {
  promised_ = std::max(promised_, view_) + 1;
  proposal_ = Proposal{promised_, alive, std::set<int>(alive.begin(), alive.end()), now_ns + suspect_ns_};
  proposal_->missing.erase(self_);
  for (const int rank : alive)
    if (rank != self_) actions_.send(rank, {ViewStep::Propose, promised_, alive});
  if (proposal_->missing.empty()) {
    const ViewMessage commit{ViewStep::Commit, proposal_->view, proposal_->members};
    proposal_.reset();
    install(commit);
  }
}

void Membership::handle(int from, const ViewMessage& message, std::uint64_t now_ns) {
  heard(from, now_ns);
  switch (message.step) {
    case ViewStep::Propose:
      // Two proposals of one number: the lower rank's goes on, else both would be refused for ever.
      if (message.view < promised_ || (message.view == promised_ && !(proposal_ && from < self_)))
        return actions_.send(from, {ViewStep::Refuse, promised_, {}});
      promised_ = message.view;
      proposal_.reset();
      return actions_.send(from, {ViewStep::Promise, message.view, {}});
    case ViewStep::Refuse:
      promised_ = std::max(promised_, message.view);
      if (proposal_) proposal_.reset();  // the next tick proposes with a higher number
      return;
    case ViewStep::Promise: {
      if (!proposal_ || proposal_->view != message.view) return;
      proposal_->missing.erase(from);
      if (!proposal_->missing.empty()) return;
      const ViewMessage commit{ViewStep::Commit, proposal_->view, proposal_->members};
      proposal_.reset();
      for (const int rank : commit.members)
        if (rank != self_) actions_.send(rank, commit);
      return install(commit);
    }
    case ViewStep::Commit:
      if (message.view > view_) install(message);
      return;
  }
}

void Membership::install(const ViewMessage& commit) {
  view_ = commit.view;
  view_members_ = commit.members;
  const std::set<int> now(commit.members.begin(), commit.members.end());
  std::vector<int> left, returned;
  std::set_difference(members_.begin(), members_.end(), now.begin(), now.end(), std::back_inserter(left));
  std::set_difference(now.begin(), now.end(), members_.begin(), members_.end(), std::back_inserter(returned));
  members_ = now;
  ever_lost_ = ever_lost_ || !left.empty();
  actions_.no_communicator();
  actions_.changed(left, returned);

  making_ = std::make_shared<Making>();
  std::thread([making = making_, world = world_, self = self_, layout = layout_, members = commit.members,
               view = commit.view] {
    // It spins while it waits for the others; nobody else should feel it.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
    try {
      making->comms = make_view_comms(world, self, layout, members, view);
      making->state = 1;
    } catch (const mpi::MpiError& error) {
      spdlog::error("{}", error.what());
      making->state = 2;
    }
  }).detach();
}

void Membership::poll_helper() {
  if (!making_ || making_->state == 0) return;
  const auto made = std::exchange(making_, nullptr);
  if (made->state != 1) {
    spdlog::error("no communicator for view {}; load is known by heartbeats only", view_);
    return;
  }
  // The former view's had a member that is lost, so they can't be freed: that is collective.
  actions_.communicators(made->comms, std::vector<int>(view_members_.begin(), view_members_.end()));
}

}  // namespace drover
