// The tree is born: every process by its parent, in sessions and process groups as they were (image/births.h). Each is
// seized by the kernel at birth and stops before its first instruction, a copy of the empty process that made it.
#include <fmt/format.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "ckpt/image/births.h"
#include "ckpt/restore/freed_ids.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"

namespace drover {

namespace {

std::uint64_t clone_flags(unsigned shares) {
  return ((shares & kShareMemory) != 0 ? CLONE_VM : 0) | ((shares & kShareHandlers) != 0 ? CLONE_SIGHAND : 0) |
         ((shares & kShareFiles) != 0 ? CLONE_FILES : 0) | ((shares & kShareDirectories) != 0 ? CLONE_FS : 0);
}

class TreeMaker {
 public:
  explicit TreeMaker(RestoredTree& tree) : tree_(tree) {
    for (HeldProcess& held : tree.processes) by_pid_[held.pid] = &held;
  }

  void obey(const BirthStep& step) {
    switch (step.act) {
      case BirthAct::Make:
      case BirthAct::MakeSibling:
        if (step.by != 0) make(step);
        if (by_pid_.at(step.pid)->image.process.child_subreaper)
          run(step.pid, "PR_SET_CHILD_SUBREAPER", SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0);
        return;
      case BirthAct::NewSession:
        run(step.pid, "setsid", SYS_setsid, 0, 0, 0);
        return take_controlling_terminal(*by_pid_.at(step.pid), tree_.model.open_files, step.pid);
      case BirthAct::LeadGroup:
        return run(step.pid, "setpgid", SYS_setpgid, 0, 0, 0);
      case BirthAct::JoinGroup:
        return run(step.pid, fmt::format("setpgid {}", step.group), SYS_setpgid, 0, step.group, 0);
      case BirthAct::End:
        return end(step);
    }
  }

 private:
  void run(pid_t pid, const std::string& what, long number, long a, long b, long c) {
    HeldProcess& held = *by_pid_.at(pid);
    Batch batch = held.batch();
    batch.must(fmt::format("{} in process {}", what, pid), number, a, b, c, 0, 0);
    held.run(batch);
  }

  HeldProcess& add_helper(pid_t pid) {
    ProcessImage& image = tree_.helper_images.emplace_back();
    image.process.pid = pid;
    return *(by_pid_[pid] = &tree_.helpers.emplace_back(image, tree_.model.host));
  }

  void make(const BirthStep& step) {
    HeldProcess& maker = *by_pid_.at(step.by);
    HeldProcess& child = step.helper ? add_helper(step.pid) : *by_pid_.at(step.pid);
    const bool sibling = step.act == BirthAct::MakeSibling;
    clone_args args{};
    Batch batch = maker.batch();
    args.flags = (sibling ? CLONE_PARENT : 0) | clone_flags(step.shares);
    // A sibling's is that of its maker (clone(2)). Nobody shall hear of a helper's end.
    args.exit_signal = sibling || step.helper ? 0 : static_cast<unsigned>(std::max(0, child.image.process.exit_signal));
    args.set_tid = batch.push_value(step.pid);
    args.set_tid_size = 1;
    batch.must(fmt::format("clone3 with process id {}", step.pid), SYS_clone3, batch.push_value(args), sizeof args);
    with_freed_id([&] { maker.run(batch); });
    child.made = true;
    Tracee(step.pid).wait();
    child.area = maker.area;
    child.threads.push_back(std::make_unique<RemoteSyscalls>(child.memory, step.pid, 0, maker.leader()));
  }

  void end(const BirthStep& step) {
    HeldProcess& helper = *by_pid_.at(step.pid);
    ::kill(step.pid, SIGKILL);
    for (auto stop = Tracee(step.pid).wait_for(3'000'000'000); stop && !stop->exited();)
      stop = Tracee(step.pid).wait_for(3'000'000'000);
    helper.made = false;
    helper.threads.clear();
    if (step.by != 0) run(step.by, "wait4", SYS_wait4, step.pid, 0, __WALL);
  }

  RestoredTree& tree_;
  std::map<pid_t, HeldProcess*> by_pid_;
};

}  // namespace

// Reparenting is the kernel's choice: to the nearest subreaper.
static void check_parents(const RestoredTree& tree) {
  const auto parent_now = [](pid_t pid) { return parse_task_stat(read_text(proc_path(pid, "stat"))).parent; };
  std::map<pid_t, bool> known;
  for (const HeldProcess& held : tree.processes) known[held.pid] = true;
  const pid_t above = parent_now(tree.processes.front().pid);
  for (const HeldProcess& held : tree.processes) {
    const pid_t wanted = known.count(held.image.process.parent) != 0 ? held.image.process.parent : above;
    if (const pid_t now = parent_now(held.pid); now != wanted && held.pid != tree.processes.front().pid)
      throw SystemError(fmt::format("give process {} its parent {}", held.pid, wanted), std::to_string(now), ECHILD);
  }
}

void make_tree(RestoredTree& tree) {
  std::vector<ProcessState> states;
  for (const HeldProcess& held : tree.processes) states.push_back(held.image.process);
  const auto births = plan_births(states, [](pid_t pid) { return ::kill(pid, 0) < 0 && errno == ESRCH; });
  if (const auto* refusal = std::get_if<Refusal>(&births)) throw ImageError("damaged image: " + refusal->reason);
  TreeMaker maker(tree);
  for (const BirthStep& step : std::get<std::vector<BirthStep>>(births)) maker.obey(step);
  check_parents(tree);
}

}  // namespace drover
