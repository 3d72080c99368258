#include "runtime/exchange/membership.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace drover {

Membership::Membership(int self, int size, MPI_Comm world, Nanoseconds suspect_after, Actions actions)
    : self_(self),
      world_(world),
      suspect_ns_(static_cast<std::uint64_t>(suspect_after.count())),
      actions_(std::move(actions)),
      heard_ns_(static_cast<std::size_t>(size)) {
  for (int rank = 0; rank < size; ++rank) members_.insert(rank);
  view_members_.assign(members_.begin(), members_.end());
}

Membership::~Membership() {
  // After a loss freeing is collective with someone who is not there; the process is about to end anyway.
  if (ever_lost_) (void)comm_.release();
}

void Membership::heard(int rank, std::uint64_t now_ns) { heard_ns_.at(static_cast<std::size_t>(rank)) = now_ns; }

void Membership::tick(std::uint64_t now_ns) {
  poll_helper();
  // We ourselves were stopped: nobody's silence means anything then.
  if (last_tick_ns_ == 0 || now_ns - last_tick_ns_ > suspect_ns_ / 2)
    for (auto& heard : heard_ns_) heard = now_ns;
  last_tick_ns_ = now_ns;
  if (proposal_ && now_ns > proposal_->deadline_ns) proposal_.reset();

  std::vector<std::int32_t> alive;
  for (std::size_t rank = 0; rank < heard_ns_.size(); ++rank)
    if (static_cast<int>(rank) == self_ || now_ns - heard_ns_[rank] < suspect_ns_)
      alive.push_back(static_cast<std::int32_t>(rank));
  // Of the present members: one that was excluded and has not heard of it yet must not be waited for to propose itself.
  const auto first = std::find_if(alive.begin(), alive.end(), [&](int rank) { return member(rank); });
  const bool coordinator = first != alive.end() && *first == self_;
  if (coordinator && !proposal_ && !making_ && alive != view_members_) propose(alive, now_ns);
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
  std::thread([making = making_, world = world_, members = commit.members,
               tag = static_cast<int>(commit.view % 30000)] {
    // It spins while it waits for the others; nobody else should feel it.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
    MPI_Group everyone = MPI_GROUP_NULL, group = MPI_GROUP_NULL;
    MPI_Comm_group(world, &everyone);
    MPI_Group_incl(everyone, static_cast<int>(members.size()), members.data(), &group);
    const int code = MPI_Comm_create_group(world, group, tag, &making->comm);
    MPI_Group_free(&group);
    MPI_Group_free(&everyone);
    making->state = code == MPI_SUCCESS ? 1 : 2;
  }).detach();
}

void Membership::poll_helper() {
  if (!making_ || making_->state == 0) return;
  const auto made = std::exchange(making_, nullptr);
  if (made->state != 1) {
    spdlog::error("no communicator for view {}; load is known by heartbeats only", view_);
    return;
  }
  MPI_Comm_set_errhandler(made->comm, MPI_ERRORS_RETURN);
  (void)comm_.release();  // of a view with a lost member: can't be freed collectively
  comm_ = mpi::Communicator(made->comm);
  actions_.communicator(comm_.get(), std::vector<int>(view_members_.begin(), view_members_.end()));
}

}  // namespace drover
