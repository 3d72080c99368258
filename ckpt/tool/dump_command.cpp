#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <optional>

#include "ckpt/dump/dump.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/working_memory.h"
#include "ckpt/tool/beside.h"
#include "ckpt/tool/commands.h"
#include "ckpt/tool/image_file.h"
#include "ckpt/tool/inside.h"
#include "ckpt/tool/timing.h"

namespace drover {

namespace {

// A dump of a process of our own PID namespace.
class Dumper {
 public:
  // `reaper`: of the tree's orphans, 0: nobody of ours.
  Dumper(const DumpArguments& arguments, Beside& beside, pid_t pid, pid_t reaper, bool own_ipc)
      : arguments_(arguments), beside_(beside), pid_(pid), reaper_(reaper), timing_(arguments.timing) {
    options_.locks = true;
    options_.network_names = true;
    options_.terminal = true;
    options_.own_ipc = own_ipc;
    options_.with_program = arguments.with_program;
    options_.carry = arguments.with_files;
    options_.reaper = reaper;
  }

  // A refusal is printed.
  void run(int fd) try {
    const auto obstacle = find_obstacle(pid_, options_);
    if (obstacle && !obstacle->passing) return refuse(obstacle->reason);
    timing_.phase("check");
    StillWaiting still;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      auto frozen = FrozenTree::freeze(pid_, &still, reaper_);
      if (const auto* refusal = std::get_if<Refusal>(&frozen)) {
        const bool again = refusal->traced != 0 && attempt < kAttempts;
        if (!again || !wait_for_our_tracer(refusal->traced)) return refuse(refusal->reason);
        continue;
      }
      timing_.phase("freeze");
      FrozenTree& tree = std::get<FrozenTree>(frozen);
      FdSink sink(fd);
      const DumpResult result = dump(tree, sink, options_);
      timing_.phase("dump");
      if (!result.refused) return finish(tree, result.stats);
      still = tree.thaw();
      if (!result.refused->passing || attempt == kAttempts) return refuse(result.refused->reason);
      const timespec moment{0, attempt * 8'000'000};
      ::nanosleep(&moment, nullptr);
    }
  } catch (const std::exception& error) {
    refuse(error.what());
  }

 private:
  static constexpr int kAttempts = 10;

  // The tree ends only when the image has its name.
  void finish(FrozenTree& tree, const DumpStats& stats) {
    if (arguments_.timing) print(stats);
    const bool kept = beside_.done();
    StillWaiting still;
    if (arguments_.leave_running || !kept)
      still = tree.thaw();
    else
      tree.kill();
    timing_.phase(arguments_.leave_running ? "thaw" : "kill");
    beside_.leave();
  }

  void refuse(const std::string& reason) const {
    fmt::print(stderr, "drover-ckpt: process {} can't be dumped: {}\n", arguments_.pid, reason);
    beside_.leave();
  }
  static void print(const DumpStats& stats) {
    fmt::print(stderr, "image {} bytes, pages {} bytes, {} zero pages left out, {} threads, {} waits estimated\n",
               stats.image_bytes, stats.page_bytes, stats.zero_pages, stats.threads, stats.estimated_waits.size());
    for (const EstimatedWait& wait : stats.estimated_waits)
      fmt::print(stderr, "thread {} in {}: about {:.3f} ms left, estimated\n", wait.tid, wait.call,
                 static_cast<double>(wait.rest_ns) / 1e6);
  }

  const DumpArguments& arguments_;
  Beside& beside_;
  pid_t pid_, reaper_;
  DumpOptions options_;
  Timing timing_;
};

}  // namespace

// Of a process further down nobody knows which of PID 1's children were its own once.
static bool is_child_of(pid_t parent, pid_t pid) {
  const auto stat = try_read_text(proc_path(pid, "stat"));
  return stat && parse_task_stat(*stat).parent == parent;
}

int run_dump(const DumpArguments& arguments) {
  ImageFile file(arguments.image);
  const auto work = [&](Beside& beside) {
    prepare_working_memory();
    std::optional<SeenThrough> seen_through;
    if (const pid_t thread = without_main_thread(arguments.pid); thread != 0)
      seen_through.emplace(arguments.pid, thread);
    // Before we are in a namespace that is still being made: we would have an id there that the tree is to get.
    wait_for_our_tracer(arguments.pid);
    const auto inside = find_inside(arguments.pid);
    if (!inside) return Dumper(arguments, beside, arguments.pid, 0, arguments.own_ipc).run(file.fd());
    beside.went_inside();
    run_inside(*inside, [&] {
      Dumper(arguments, beside, inside->pid, is_child_of(1, inside->pid) ? 1 : 0, inside->own_ipc).run(file.fd());
    });
  };
  return run_beside(work, [&file] { file.keep(); }) ? 0 : 1;
}

}  // namespace drover
