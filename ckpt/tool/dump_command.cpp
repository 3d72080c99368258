#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "ckpt/dump/dump.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/tool/commands.h"
#include "ckpt/tool/timing.h"

namespace drover {

static DumpOptions dump_options() {
  DumpOptions options;
  options.locks = true;
  options.network_names = true;
  return options;
}

static int refuse(const DumpArguments& arguments, const std::string& reason) {
  fmt::print(stderr, "drover-ckpt: process {} can't be dumped: {}\n", arguments.pid, reason);
  return 1;
}

// An image that is not complete must not be taken for one.
static void discard(const DumpArguments& arguments) {
  if (arguments.image != "-") ::unlink(arguments.image.c_str());
}

static int write_image(const DumpArguments& arguments, FrozenTree& tree, int fd, Timing& timing) {
  FdSink sink(fd);
  const DumpResult result = dump(tree, sink, dump_options());
  if (result.refused) {
    discard(arguments);
    return refuse(arguments, result.refused->reason);
  }
  timing.phase("dump");
  StillWaiting still;
  if (arguments.leave_running)
    still = tree.thaw();
  else
    tree.kill();
  timing.phase(arguments.leave_running ? "thaw" : "kill");
  if (arguments.timing)
    fmt::print(stderr, "image {} bytes, pages {} bytes, {} zero pages left out, {} threads, {} waits estimated\n",
               result.stats.image_bytes, result.stats.page_bytes, result.stats.zero_pages, result.stats.threads,
               result.stats.estimated_waits);
  return 0;
}

int run_dump(const DumpArguments& arguments) {
  Timing timing(arguments.timing);
  if (const auto obstacle = find_obstacle(arguments.pid, dump_options())) return refuse(arguments, obstacle->reason);
  timing.phase("check");
  UniqueFd file;
  if (arguments.image != "-")
    file.reset(check(::open(arguments.image.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open",
                     arguments.image));
  auto frozen = FrozenTree::freeze(arguments.pid);
  if (const auto* refusal = std::get_if<Refusal>(&frozen)) {
    discard(arguments);
    return refuse(arguments, refusal->reason);
  }
  timing.phase("freeze");
  try {
    return write_image(arguments, std::get<FrozenTree>(frozen), file ? file.get() : STDOUT_FILENO, timing);
  } catch (...) {
    discard(arguments);
    throw;
  }
}

}  // namespace drover
