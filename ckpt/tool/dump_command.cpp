#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "ckpt/dump/dump.h"
#include "ckpt/image/fd_stream.h"
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
  Dumper(const DumpArguments& arguments, pid_t pid, pid_t reaper, bool own_ipc)
      : arguments_(arguments), pid_(pid), reaper_(reaper), timing_(arguments.timing) {
    options_.locks = true;
    options_.network_names = true;
    options_.terminal = true;
    options_.own_ipc = own_ipc;
    options_.with_program = arguments.with_program;
    options_.carry = arguments.with_files;
    options_.reaper = reaper;
  }

  // Calls `written` when the image is whole, before the tree ends. A refusal is printed.
  void run(int fd, const std::function<void()>& written) {
    if (const auto obstacle = find_obstacle(pid_, options_)) return refuse(obstacle->reason);
    timing_.phase("check");
    StillWaiting still;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      auto frozen = FrozenTree::freeze(pid_, &still, reaper_);
      if (const auto* refusal = std::get_if<Refusal>(&frozen)) return refuse(refusal->reason);
      timing_.phase("freeze");
      FrozenTree& tree = std::get<FrozenTree>(frozen);
      FdSink sink(fd);
      const DumpResult result = dump(tree, sink, options_);
      timing_.phase("dump");
      if (!result.refused) return finish(tree, result.stats, written);
      if (!result.refused->passing || attempt == kAttempts) return refuse(result.refused->reason);
      still = tree.thaw();
      const timespec moment{0, attempt * 2'000'000};
      ::nanosleep(&moment, nullptr);
    }
  }

 private:
  static constexpr int kAttempts = 10;

  void finish(FrozenTree& tree, const DumpStats& stats, const std::function<void()>& written) {
    if (arguments_.timing) print(stats);
    written();
    StillWaiting still;
    if (arguments_.leave_running)
      still = tree.thaw();
    else
      tree.kill();
    timing_.phase(arguments_.leave_running ? "thaw" : "kill");
  }

  void refuse(const std::string& reason) const {
    fmt::print(stderr, "drover-ckpt: process {} can't be dumped: {}\n", arguments_.pid, reason);
  }
  static void print(const DumpStats& stats) {
    fmt::print(stderr, "image {} bytes, pages {} bytes, {} zero pages left out, {} threads, {} waits estimated\n",
               stats.image_bytes, stats.page_bytes, stats.zero_pages, stats.threads, stats.estimated_waits.size());
    for (const EstimatedWait& wait : stats.estimated_waits)
      fmt::print(stderr, "thread {} in {}: about {:.3f} ms left, estimated\n", wait.tid, wait.call,
                 static_cast<double>(wait.rest_ns) / 1e6);
  }

  const DumpArguments& arguments_;
  pid_t pid_, reaper_;
  DumpOptions options_;
  Timing timing_;
};

}  // namespace

int run_dump(const DumpArguments& arguments) {
  ImageFile file(arguments.image);
  bool whole = false;
  if (const auto inside = find_inside(arguments.pid)) {
    whole = run_inside(*inside, [&](const std::function<void()>& done) {
      try {
        Dumper(arguments, inside->pid, 1, inside->own_ipc).run(file.fd(), done);
      } catch (const std::exception& error) {
        fmt::print(stderr, "drover-ckpt: {}\n", error.what());
      }
    });
  } else {
    Dumper(arguments, arguments.pid, 0, arguments.own_ipc).run(file.fd(), [&whole] { whole = true; });
  }
  if (whole) file.keep();
  return whole ? 0 : 1;
}

}  // namespace drover
