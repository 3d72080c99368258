// `drover restore`: a job begins as its image says. As for any other that starts elsewhere the register decides where.
#include <unistd.h>

#include "ckpt/image/fd_stream.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/error.h"
#include "runtime/migrate/fault.h"
#include "runtime/migrate/register.h"
#include "runtime/shepherd/worker_parts.h"

namespace drover::shepherd {

namespace {

RestoreOptions restore_options(const WorkerTask& task) {
  RestoreOptions options;
  for (std::size_t i = 0; i < 3; ++i) options.external[kStreams[i]] = task.stream_fds[i];
  options.node_cpus.assign(task.cpus.begin(), task.cpus.end());
  options.child_of_parent = true;
  options.time_namespace = task.namespaces;
  options.terminal = true;  // if the image has one
  options.live = false;
  options.truncate = task.truncate;
  return options;
}

StillWaiting start(const WorkerTask& task, Connection& init) {
  // Before, as of any start: a large image takes longer than the origin waits before it asks the register.
  if (task.claim) {
    const std::string& node = task.order.destination;
    if (claim_ownership(task.job_dir, task.order.epoch, {node, "start at " + node}).node != node) {
      tell(init, Channel::RestoreFailed, StartFailed{0, "register", "", true});
      return {};
    }
  }
  FdSource source(task.image.get());
  auto restored = restore(source, restore_options(task));
  if (const auto* refusal = std::get_if<Refusal>(&restored)) throw std::runtime_error(refusal->reason);
  auto& tree = std::get<HeldTree>(restored);
  for (const std::string& note : tree.notes()) complain("note: " + note);
  fault_point("start.restored");
  const auto& context = tree.context();
  init.send(static_cast<std::uint16_t>(Channel::ReadySent),
            std::string_view(reinterpret_cast<const char*>(context.data()), context.size()),
            tree.take_terminal().get());
  const pid_t root = tree.root();
  const auto made = tree.made_files();
  StillWaiting still = tree.resume();
  tell(init, Channel::Resumed, ResumedHere{root, {}, still.known, made});
  for (const int fd : task.stream_fds) ::close(fd);  // nobody could see the job close them else
  return still;
}

}  // namespace

StillWaiting start_of_image(WorkerTask task, Connection& init) {
  try {
    return start(task, init);
  } catch (const std::exception& error) {
    tell(init, Channel::RestoreFailed, StartFailed{0, "restore", error.what(), false});
    return {};
  }
}

}  // namespace drover::shepherd
