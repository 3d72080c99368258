// Making a tree of processes from an image, stage by stage.
#include "ckpt/restore/restore.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <optional>

#include "ckpt/freeze/tracee.h"
#include "ckpt/restore/checks.h"
#include "ckpt/restore/freed_ids.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/restore/huge_pages.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/one_processor.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/vdso.h"

namespace drover {

struct HeldTree::Impl {
  RestoredTree tree;
  UniqueFd terminal;
  // Until its threads are made, or it is let go, each process is bound as we are, and takes turns with us.
  std::optional<OneProcessor> turns;
  bool live = true;
  bool over = false;

  // How much time has gone by for the program's timers and waits since it was frozen.
  std::int64_t passed_ns() const {
    if (!live) return 0;
    const HostClocks now = read_host_clocks();
    const bool same_boot = tree.model.host.boot_id == read_boot_id();
    const std::int64_t passed =
        same_boot ? now.boottime_ns - tree.model.host.host_boottime_ns : now.realtime_ns - tree.model.host.realtime_ns;
    return std::max<std::int64_t>(0, passed);
  }
};

// Of a session that nobody in the tree leads we are the leader.
static void find_own_session(const RestoredTree& tree) {
  const auto& terminals = tree.model.open_files.terminals;
  for (std::size_t i = 0; i < terminals.size(); ++i) {
    if (terminals[i].session != 0 && !tree.has_process(terminals[i].session))
      become_session_of(tree.files.terminals()[i]);
  }
}

static constexpr std::uint64_t kManyPages = 1024;  // the filler's second thread comes at about as many (page_filler.h)

static std::uint64_t count_pages(const RestoredTree& tree) {
  std::uint64_t pages = 0;
  for (const ProcessImage& image : tree.model.processes) pages += image.memory.content_pages;
  return pages;
}

// The order is the design; each stage says why it stands where it does.
static void run_stages(RestoredTree& tree, ImageReader& reader, const RestoreOptions& options, OneProcessor& turns) {
  // Before the first process: a namespace's offsets are fixed when somebody enters it.
  if (options.time_namespace) enter_time_namespace(tree.model.host, options.live);
  // Also before: whoever is born later inherits them, and that is how they are shared.
  tree.files.open_all(tree.model.open_files, options, tree.socket_names);
  find_own_session(tree);
  make_root(tree, options);
  // All of it while the processes are empty: parents, sessions and groups come with birth.
  make_tree(tree);
  // By the processes themselves, and before they have threads, which share with them what their end will undo.
  restore_semaphores(tree);
  for (HeldProcess& held : tree.processes) {
    if (!held.zombie() && held.shared().memory == 0) map_memory(held, tree);
  }
  tree.files.seal(tree.model.open_files);
  // As the stream delivers them, into areas that are all still writable. By several processors if there are many.
  const bool large = count_pages(tree) >= kManyPages;
  if (large) turns.loosen();
  fill_pages(tree.processes, reader);
  if (large) turns.bind();
  for (HeldProcess& held : tree.processes) {
    if (tree.other_vdso && !held.zombie()) check_old_vdso(held);
  }
  // When nobody joins a process group any more, and before signals: their ends raise some.
  end_zombies(tree);
  // While each process has one thread.
  stop_and_continue(tree);
  set_foreground_groups(tree);
  tree.files.settle_terminals(tree.model.open_files);
  // In all processes before the next loop, since some may share their descriptors: what needs the parked ones, or low
  // numbers for our own purposes.
  for (HeldProcess& held : tree.processes) {
    if (held.zombie()) continue;
    // Protections after contents; the program's file when no other program's file is mapped.
    if (held.shared().memory == 0) finish_memory(held);
    if (held.shared().directories == 0) enter_gone_directory(held);
  }
  for (HeldProcess& held : tree.processes) {
    if (held.zombie()) continue;
    if (held.shared().files == 0) {
      set_descriptors(held, tree.model.open_files);
      take_locks(held);
      watch_files(held, tree.model.open_files);
    }
    // What they wait for is there.
    submit_polls(held);
    // Limits and a changed root after all that they would hinder.
    set_process_attributes(held);
    // Threads after memory, which holds their rseq areas and alternate stacks.
    const bool many = held.image.threads.size() >= kManyThreads;
    if (many) turns.loosen();
    make_threads(held, tree.node_cpus);
    if (many) turns.bind();
    // Signals after threads, since each queues its own; dispositions after everything that could raise one.
    restore_signals(held);
    // Timers after threads, which they may be aimed at. They run only when the tree does.
    create_timers(held);
    // After signals, which only a main thread can queue as if the kernel had; before other processes want a signal at
    // the end of their parent, which is a thread.
    end_main_thread(held, tree);
  }
  for (HeldProcess& held : tree.processes) {
    if (!held.zombie() && held.shared().files == 0) seek_process_files(held, tree.model.open_files);
  }
}

std::variant<HeldTree, Refusal> restore(ByteSource& source, const RestoreOptions& options) {
  read_host_clocks();  // remembers our own time namespace before we leave it
  ImageReader reader(source);
  auto impl = std::make_unique<HeldTree::Impl>();
  RestoredTree& tree = impl->tree;
  ImageObjects objects{tree.files, tree.ipc, options.ipc_namespace};
  tree.model = read_metadata(reader, &objects);
  impl->live = options.live;
  tree.node_cpus = options.node_cpus;
  if (tree.files.refusal()) return *tree.files.refusal();
  if (tree.ipc.refusal()) return *tree.ipc.refusal();
  if (auto refusal = reserve_huge_pages(tree.model, tree.files)) return *refusal;
  if (auto refusal = find_restore_obstacle(tree.model, options)) return *refusal;
  if (options.truncate) truncate_files(tree.model);
  const auto& vdso = tree.model.host.vdso;  // empty: the root has unmapped it
  tree.other_vdso = options.other_vdso || (!vdso.empty() && vdso != own_vdso());
  for (ProcessImage& image : tree.model.processes) tree.processes.emplace_back(image, tree.model.host);
  UniqueFd& terminal = impl->terminal;
  OneProcessor& turns = impl->turns.emplace();
  HeldTree held(std::move(impl));  // from here on its destructor leaves nothing behind
  try {
    run_stages(tree, reader, options, turns);
  } catch (const IdTaken& error) {
    Refusal refusal{error.what()};
    refusal.id_taken = true;
    return refusal;
  }
  terminal = tree.files.take_terminal(tree.model.open_files);
  tree.files.close();
  tree.ipc.detach();
  return held;
}

HeldTree::HeldTree(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HeldTree::HeldTree(HeldTree&&) noexcept = default;
HeldTree& HeldTree::operator=(HeldTree&& other) noexcept {
  HeldTree old(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}
HeldTree::~HeldTree() {
  if (impl_ && !impl_->over) kill();
}

pid_t HeldTree::root() const { return impl_->tree.processes.front().pid; }
const std::vector<std::byte>& HeldTree::context() const { return impl_->tree.model.context; }
const std::vector<std::string>& HeldTree::notes() const { return impl_->tree.notes; }
std::vector<std::string> HeldTree::made_files() const { return impl_->tree.files.made_files(); }

UniqueFd HeldTree::take_terminal() { return std::move(impl_->terminal); }

static HeldProcess* find_process(RestoredTree& tree, pid_t pid) {
  for (HeldProcess& held : tree.processes) {
    if (held.pid == pid && !held.zombie()) return &held;
  }
  return nullptr;
}

// How many processes work for us in an address space; by who is first in it.
static std::map<pid_t, int> count_users(const RestoredTree& tree) {
  std::map<pid_t, int> users;
  for (const HeldProcess& held : tree.processes) users[held.memory_holder()] += held.zombie() ? 0 : 1;
  return users;
}

StillWaiting HeldTree::resume() {
  StillWaiting still;
  RestoredTree& tree = impl_->tree;
  // Until now the names have led to the source, if that was still there.
  tree.socket_names.commit();
  for (HeldProcess& held : tree.processes) {
    if (!held.zombie()) restore_credentials(held);
  }
  std::set<std::uint32_t> armed;
  for (HeldProcess& held : tree.processes) {
    if (!held.zombie()) arm_timers(held, tree.model.open_files, armed, impl_->passed_ns());
  }
  auto users = count_users(tree);
  const auto prepare = [&](HeldProcess& held) {
    const bool last = --users[held.memory_holder()] == 0;
    auto releases = prepare_release(held, impl_->passed_ns(), last, still.known);
    set_late_affinity(held, tree.node_cpus);
    return releases;
  };
  // Stopped processes first, children before parents: these must still be held to be kept from hearing of it.
  for (auto held = tree.processes.rbegin(); held != tree.processes.rend(); ++held) {
    if (held->zombie() || held->image.process.stopped_by == 0) continue;
    const auto releases = prepare(*held);
    release_stopped(*held, find_process(tree, held->image.process.parent), releases);
  }
  std::vector<ThreadRelease> all;
  for (HeldProcess& held : tree.processes) {
    if (held.zombie() || held.image.process.stopped_by != 0) continue;
    const auto releases = prepare(held);
    all.insert(all.end(), releases.begin(), releases.end());
  }
  tree.ipc.keep();
  tree.files.keep();
  // All at once: who runs may kill who does not yet.
  still.lingering = release_threads(all);
  impl_->turns.reset();
  impl_->over = true;
  return still;
}

static void kill_process(HeldProcess& held) {
  if (!held.made) return;
  constexpr std::int64_t kDeadlineNs = 3'000'000'000;
  held.made = false;
  ::kill(held.pid, SIGKILL);
  std::vector<pid_t> tids;
  for (const ThreadState& thread : held.image.threads) tids.push_back(thread.tid);
  if (tids.empty() || tids.front() != held.pid) tids.insert(tids.begin(), held.pid);
  for (auto tid = tids.rbegin(); tid != tids.rend(); ++tid) {
    for (auto stop = Tracee(*tid).wait_for(kDeadlineNs); stop && !stop->exited();)
      stop = Tracee(*tid).wait_for(kDeadlineNs);
  }
  held.threads.clear();
}

void HeldTree::kill() {
  impl_->over = true;
  impl_->turns.reset();
  RestoredTree& tree = impl_->tree;
  for (HeldProcess& held : tree.helpers) kill_process(held);
  for (auto held = tree.processes.rbegin(); held != tree.processes.rend(); ++held) kill_process(*held);
}

}  // namespace drover
