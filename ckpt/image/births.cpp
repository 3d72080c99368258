#include "ckpt/image/births.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace drover {

namespace {

constexpr pid_t kAnySession = -1;

struct Shareable {
  std::int32_t SharedState::*what;
  Sharing flag;
  const char* name;
};
constexpr Shareable kShareables[] = {{&SharedState::memory, kShareMemory, "memory"},
                                     {&SharedState::handlers, kShareHandlers, "signal handlers"},
                                     {&SharedState::files, kShareFiles, "descriptors"},
                                     {&SharedState::directories, kShareDirectories, "working directory"}};

class BirthPlanner {
 public:
  BirthPlanner(const std::vector<ProcessState>& processes, const std::function<bool(pid_t)>& is_free)
      : processes_(processes), root_(processes.front()), is_free_(is_free) {
    for (const ProcessState& p : processes_) {
      by_pid_[p.pid] = &p;
      named_.insert({p.pid, p.process_group, p.session});
    }
    for (const ProcessState& p : processes_) {
      if (p.pid != root_.pid) children_[parent_of(p)].push_back(&p);
    }
  }

  std::variant<std::vector<BirthStep>, Refusal> plan() {
    if (!find_birth_session(root_)) return *refusal_;
    make({BirthAct::Make, root_.pid, 0, 0, false});
    // The root's siblings that do not belong to its own session have to be there before it begins that.
    for (const ProcessState* p : children_[0]) place(*p, 0);
    if (!visit(root_) || !make_adopted() || !arrange_groups()) return *refusal_;
    for (auto helper = helpers_.rbegin(); helper != helpers_.rend(); ++helper)
      steps_.push_back({BirthAct::End, helper->first, helper->second, 0, false});
    return std::move(steps_);
  }

 private:
  pid_t parent_of(const ProcessState& p) const { return by_pid_.count(p.parent) != 0 ? p.parent : 0; }
  bool leads_session(const ProcessState& p) const { return p.session == p.pid; }
  pid_t outside_session() const { return birth_.at(root_.pid); }

  void refuse(const ProcessState& p, std::string_view what) {
    if (!refusal_) refusal_ = Refusal{fmt::format("process {} {}", p.pid, what)};
  }

  // The session in which a process was born: its own, or for one that began a session afterwards that of the children
  // which it had before.
  std::optional<pid_t> find_birth_session(const ProcessState& p) {
    std::set<pid_t> needed;
    for (const ProcessState* child : children_[p.pid]) {
      const auto session = find_birth_session(*child);
      if (!session) return std::nullopt;
      if (*session != kAnySession && *session != p.pid) needed.insert(*session);
    }
    pid_t born = leads_session(p) ? kAnySession : p.session;
    if (leads_session(p) && !p.child_subreaper && !needed.empty()) {
      born = *needed.begin();
      if (needed.size() > 1) {
        refuse(p, "has children of several sessions that are not its own");
        return std::nullopt;
      }
    }
    birth_[p.pid] = born;
    for (const ProcessState* sibling : p.pid == root_.pid ? children_[0] : std::vector<const ProcessState*>{}) {
      if (!find_birth_session(*sibling)) return std::nullopt;
    }
    return born;
  }

  void make(const BirthStep& step) {
    steps_.push_back(step);
    group_[step.pid] = step.by != 0 ? group_[step.by] : root_outside_group();
    made_.insert(step.pid);
  }
  pid_t root_outside_group() const { return by_pid_.count(root_.process_group) != 0 ? 0 : root_.process_group; }

  void begin_session(pid_t pid) {
    steps_.push_back({BirthAct::NewSession, pid, 0, 0, false});
    group_[pid] = pid;
  }

  // A child whose session its parent (0: the root, as its sibling) has at this moment is made; others wait.
  void place(const ProcessState& p, pid_t parent) {
    if (made_.count(p.pid) != 0) return;
    const auto able = find_maker(p, parent);
    if (!able) return;
    const pid_t maker = *able;
    const bool begun = begun_.count(maker) != 0;
    const pid_t now = begun ? maker : birth_.at(maker);
    const pid_t wanted = birth_.at(p.pid);
    // Any session is as good as any other, but the first is the likelier one.
    if (wanted != kAnySession && wanted != now) return;
    make({maker == parent ? BirthAct::Make : BirthAct::MakeSibling, p.pid, maker, 0, false,
          shared(p, *by_pid_.at(maker))});
  }

  // Its parent (of the root's siblings, the root), or a sibling that is there already if only that has what it shares.
  std::optional<pid_t> find_maker(const ProcessState& p, pid_t parent) {
    const auto able = [&p](const ProcessState& maker) { return shared(p, maker) == shared(p); };
    const pid_t usual = parent != 0 ? parent : root_.pid;
    if (able(*by_pid_.at(usual))) return usual;
    for (const ProcessState* sibling : children_[parent]) {
      if (made_.count(sibling->pid) != 0 && sibling->exit_signal == p.exit_signal && able(*sibling))
        return sibling->pid;
    }
    return std::nullopt;
  }

  static unsigned shared(const ProcessState& p) {
    unsigned shares = 0;
    for (const Shareable& kind : kShareables) {
      if (p.shared.*kind.what != 0) shares |= kind.flag;
    }
    return shares;
  }
  static unsigned shared(const ProcessState& p, const ProcessState& maker) {
    unsigned shares = 0;
    for (const Shareable& kind : kShareables) {
      const pid_t first = maker.shared.*kind.what != 0 ? maker.shared.*kind.what : maker.pid;
      if (p.shared.*kind.what == first) shares |= kind.flag;
    }
    return shares;
  }

  void refuse_sharer(const ProcessState& p) {
    for (const Shareable& kind : kShareables) {
      if (p.shared.*kind.what != 0)
        refuse(p,
               fmt::format(
                   "shares its {} with process {}, which is neither its parent nor a sibling that could have made it",
                   kind.name, p.shared.*kind.what));
    }
  }

  bool visit(const ProcessState& p) {
    const auto children = children_[p.pid];
    if (leads_session(p)) {
      for (const ProcessState* child : children) {
        if (birth_.at(child->pid) != kAnySession && birth_.at(child->pid) != p.pid) place(*child, p.pid);
      }
      begin_session(p.pid);
      begun_.insert(p.pid);
    }
    for (const ProcessState* child : children) place(*child, p.pid);
    if (p.pid == root_.pid) {
      for (const ProcessState* sibling : children_[0]) place(*sibling, 0);
    }
    auto all = children;
    if (p.pid == root_.pid) all.insert(all.end(), children_[0].begin(), children_[0].end());
    for (const ProcessState* child : all) {
      if (made_.count(child->pid) == 0) {
        const pid_t parent = parent_of(*child);
        if (shared(*child) != 0) {
          refuse_sharer(*child);
          return false;
        }
        if (parent != 0 && !by_pid_[parent]->child_subreaper) {
          refuse(*child, "is in a session that its parent was never in");
          return false;
        }
        adopted_.push_back(child);
      } else if (!visit(*child)) {
        return false;
      }
    }
    return true;
  }

  // Children of a reaper (the root's parent, or a subreaper) whose own parents are gone.
  bool make_adopted() {
    while (!adopted_.empty()) {
      const auto ready = std::find_if(adopted_.begin(), adopted_.end(), [this](const ProcessState* p) {
        const pid_t session = birth_.at(p->pid);
        return by_pid_.count(session) == 0 || begun_.count(session) != 0;
      });
      if (ready == adopted_.end()) {
        refuse(*adopted_.front(), "is in a session whose leader descends from it");
        return false;
      }
      const ProcessState& p = **ready;
      adopted_.erase(ready);
      const auto helper = helper_in_session(p);
      if (!helper) return false;
      make({BirthAct::Make, p.pid, *helper, 0, false});
      if (!visit(p)) return false;
    }
    return true;
  }

  std::optional<pid_t> helper_in_session(const ProcessState& p) {
    const pid_t session = birth_.at(p.pid), parent = parent_of(p);
    const auto known = session_helpers_.find({session, parent});
    if (known != session_helpers_.end()) return known->second;
    const bool alive = by_pid_.count(session) != 0;
    pid_t helper = session;
    if (session <= 0 || session == outside_session()) {
      refuse(p, "is in a session of somebody else, and its parent is gone");
      return std::nullopt;
    }
    if (alive) {
      helper = free_pid();
      add_helper({BirthAct::Make, helper, session, 0, true});
    } else {
      if (made_.count(session) != 0) {
        refuse(p, "is in a session whose other members have another parent");
        return std::nullopt;
      }
      add_helper(
          {parent != 0 ? BirthAct::Make : BirthAct::MakeSibling, helper, parent != 0 ? parent : root_.pid, 0, true});
      begin_session(helper);
    }
    session_helpers_[{session, parent}] = helper;
    return helper;
  }

  void add_helper(const BirthStep& step) {
    make(step);
    helpers_.emplace_back(step.pid, step.act == BirthAct::Make ? step.by : 0);
  }

  pid_t free_pid() {
    constexpr pid_t kFirst = 32'000;  // below the smallest usual limit of ids
    for (pid_t pid = kFirst; pid > 300; --pid) {
      if (named_.count(pid) == 0 && is_free_(pid)) {
        named_.insert(pid);
        return pid;
      }
    }
    throw SystemError("find a free process id", {}, EAGAIN);
  }

  bool arrange_groups() {
    std::set<pid_t> wanted;
    for (const ProcessState& p : processes_) wanted.insert(p.process_group);
    for (const pid_t group : wanted) {
      const auto leader = by_pid_.find(group);
      if (leader != by_pid_.end() && !leads_session(*leader->second)) lead(group);
      if (leader != by_pid_.end() || group == root_.process_group || made_.count(group) != 0) continue;
      const auto member = std::find_if(processes_.begin(), processes_.end(),
                                       [group](const ProcessState& p) { return p.process_group == group; });
      if (group <= 0) {
        refuse(*member, "is in a process group of another namespace");
        return false;
      }
      add_helper({BirthAct::Make, group, member->pid, 0, true});
      lead(group);
    }
    // Who leads a group that others join, and is itself in another one, leaves last.
    for (const bool leavers : {false, true}) {
      for (const ProcessState& p : processes_) {
        if (group_[p.pid] == p.process_group || (wanted.count(p.pid) != 0) != leavers) continue;
        if (p.process_group == root_outside_group()) {
          refuse(p, "is in a process group of another session");
          return false;
        }
        if (leavers) keep_group(p, wanted);
        steps_.push_back({BirthAct::JoinGroup, p.pid, 0, p.process_group, false});
        group_[p.pid] = p.process_group;
      }
    }
    return true;
  }

  // Two that lead groups may be in each other's: somebody must stay behind until the second has joined.
  void keep_group(const ProcessState& leader, const std::set<pid_t>& wanted) {
    const auto stays = [&](const auto& member) { return member.first != leader.pid && member.second == leader.pid; };
    if (wanted.count(leader.pid) != 0 && std::none_of(group_.begin(), group_.end(), stays))
      add_helper({BirthAct::Make, free_pid(), leader.pid, 0, true});
  }

  void lead(pid_t pid) {
    steps_.push_back({BirthAct::LeadGroup, pid, 0, 0, false});
    group_[pid] = pid;
  }

  const std::vector<ProcessState>& processes_;
  const ProcessState& root_;
  const std::function<bool(pid_t)>& is_free_;
  std::map<pid_t, const ProcessState*> by_pid_;
  std::map<pid_t, std::vector<const ProcessState*>> children_;  // 0: of the root's parent, besides the root
  std::set<pid_t> named_;                                       // ids that mean something
  std::map<pid_t, pid_t> birth_, group_;                        // session at birth, group so far
  std::set<pid_t> made_, begun_;                                // begun: leads its session already
  std::vector<const ProcessState*> adopted_;
  std::map<std::pair<pid_t, pid_t>, pid_t> session_helpers_;
  std::vector<std::pair<pid_t, pid_t>> helpers_;  // and who reaps them
  std::vector<BirthStep> steps_;
  std::optional<Refusal> refusal_;
};

}  // namespace

std::variant<std::vector<BirthStep>, Refusal> plan_births(const std::vector<ProcessState>& processes,
                                                          const std::function<bool(pid_t)>& is_free) {
  return BirthPlanner(processes, is_free).plan();
}

}  // namespace drover
