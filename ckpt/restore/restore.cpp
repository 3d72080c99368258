// Making a tree of processes from an image, stage by stage.
#include "ckpt/restore/restore.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <list>

#include "ckpt/freeze/tracee.h"
#include "ckpt/restore/checks.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/sys/clocks.h"

namespace drover {

struct HeldTree::Impl {
  ImageModel model;
  bool live = true;
  std::list<HeldProcess> processes;
  bool over = false;

  // How much time has gone by for the program's timers and waits since it was frozen.
  std::int64_t passed_ns() const {
    if (!live) return 0;
    const HostClocks now = read_host_clocks();
    const bool same_boot = model.host.boot_id == read_boot_id();
    const std::int64_t passed =
        same_boot ? now.boottime_ns - model.host.host_boottime_ns : now.realtime_ns - model.host.realtime_ns;
    return std::max<std::int64_t>(0, passed);
  }
};

// The order is the design; each stage says why it stands where it does.
static void run_stages(std::list<HeldProcess>& processes, ImageReader& reader, const ImageModel& model,
                       const RestoreOptions& options) {
  // Before the first process: a namespace's offsets are fixed when somebody enters it.
  if (options.time_namespace) enter_time_namespace(model.host, options.live);
  std::vector<HeldProcess*> by_pid;
  for (HeldProcess& held : processes) {
    make_process(held, options, model);
    map_memory(held);
    by_pid.push_back(&held);
  }
  // As the stream delivers them, into areas that are all still writable.
  fill_pages(by_pid, reader);
  for (HeldProcess& held : processes) {
    // Protections after contents; the program's file when no other program's file is mapped.
    finish_memory(held);
    // After the last use of low descriptor numbers for our own purposes.
    open_files(held, options, model);
    // Limits and a changed root after all that they would hinder.
    set_process_attributes(held);
    // Threads after memory, which holds their rseq areas and alternate stacks.
    make_threads(held, options);
    // Signals after threads, since each queues its own; dispositions after everything that could raise one.
    restore_signals(held);
    // Timers after threads, which they may be aimed at. They run only when the tree does.
    create_timers(held);
  }
}

std::variant<HeldTree, Refusal> restore(ByteSource& source, const RestoreOptions& options) {
  read_host_clocks();  // remembers our own time namespace before we leave it
  ImageReader reader(source);
  auto impl = std::make_unique<HeldTree::Impl>();
  impl->model = read_metadata(reader);
  impl->live = options.live;
  if (auto refusal = find_restore_obstacle(impl->model, options)) return *refusal;
  for (ProcessImage& image : impl->model.processes) impl->processes.emplace_back(image, impl->model.host);
  auto& processes = impl->processes;
  const ImageModel& model = impl->model;
  HeldTree tree(std::move(impl));  // from here on its destructor leaves nothing behind
  run_stages(processes, reader, model, options);
  return tree;
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

pid_t HeldTree::root() const { return impl_->processes.front().pid; }
const std::vector<std::byte>& HeldTree::context() const { return impl_->model.context; }

StillWaiting HeldTree::resume() {
  StillWaiting still;
  for (HeldProcess& held : impl_->processes) restore_credentials(held);
  for (HeldProcess& held : impl_->processes) {
    arm_timers(held, impl_->passed_ns());
    StillWaiting more = release_process(held, impl_->passed_ns());
    still.known.insert(still.known.end(), more.known.begin(), more.known.end());
    still.lingering.append(std::move(more.lingering));
  }
  impl_->over = true;
  return still;
}

void HeldTree::kill() {
  impl_->over = true;
  for (HeldProcess& held : impl_->processes) {
    if (!held.made) continue;
    held.made = false;
    ::kill(held.pid, SIGKILL);
    for (auto thread = held.image.threads.rbegin(); thread != held.image.threads.rend(); ++thread) {
      constexpr std::int64_t kDeadlineNs = 3'000'000'000;
      for (auto stop = Tracee(thread->tid).wait_for(kDeadlineNs); stop && !stop->exited();)
        stop = Tracee(thread->tid).wait_for(kDeadlineNs);
    }
    held.threads.clear();
  }
}

}  // namespace drover
