// `drover checkpoint`: the tree is stopped for as long as its image is being written to a file, and goes on.
#include <time.h>
#include <unistd.h>

#include "ckpt/freeze/tree.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/sys/error.h"
#include "runtime/migrate/fault.h"
#include "runtime/shepherd/worker_parts.h"

namespace drover::shepherd {

CheckpointTry write_checkpoint(FrozenTree& tree, const WorkerTask& task, Connection& init) {
  JobContext context = take_snapshot(init);
  context.record = task.record;
  DumpOptions options = dump_options(task, context);
  // The job has let go of what it holds alone by the time when another is made of its image; or that will be refused.
  options.locks = options.network_names = true;
  // An attempt before this one may have left something.
  check(::ftruncate(task.image.get(), 0), "truncate", "image");
  check(::lseek(task.image.get(), 0, SEEK_SET), "seek", "image");
  FdSink sink(task.image.get());
  const DumpResult result = dump(tree, sink, options);
  if (result.refused) return {{result.refused->reason, 0, 0}, result.refused->passing};
  sink.flush();
  fault_point("checkpoint.written");
  return {{"", result.stats.image_bytes, 0}, false};
}

// Here, and not where droverd writes its log.
void sync_image(const WorkerTask& task, CheckpointDone& done) {
  if (done.error.empty() && ::fsync(task.image.get()) < 0) done.error = "fsync of the image: " + error_text(errno);
}

namespace {

struct Attempt {
  CheckpointTry tried;
  StillWaiting still;
};

Attempt try_once(const WorkerTask& task, Connection& init, StillWaiting still) {
  Stopwatch watch;
  fault_point("checkpoint.freeze");
  auto frozen = FrozenTree::freeze(task.root, &still, ::getppid());
  if (const auto* refusal = std::get_if<Refusal>(&frozen))
    return {{{refusal->reason, 0, 0}, refusal->passing}, std::move(still)};
  auto& tree = std::get<FrozenTree>(frozen);
  CheckpointTry tried;
  try {
    tried = write_checkpoint(tree, task, init);
  } catch (const std::exception& error) {
    tried.done.error = error.what();
  }
  still = tree.thaw();
  tried.done.frozen_ns = watch.lap();
  return {std::move(tried), std::move(still)};
}

}  // namespace

StillWaiting checkpoint_job(WorkerTask task, Connection& init, StillWaiting still) {
  constexpr int kAttempts = 6;
  Attempt attempt{{}, std::move(still)};
  for (int i = 1; i <= kAttempts; ++i) {
    attempt = try_once(task, init, std::move(attempt.still));
    if (!attempt.tried.passing) break;
    const timespec moment{0, i * 2'000'000};
    ::nanosleep(&moment, nullptr);
  }
  tell(init, Channel::Thawed, ThawedHere{attempt.tried.done.error, attempt.still.known});
  fault_point("checkpoint.thawed");
  sync_image(task, attempt.tried.done);  // the job goes on meanwhile, and droverd lets nothing else be done to it
  tell(init, Channel::CheckpointDone, attempt.tried.done);
  return std::move(attempt.still);
}

}  // namespace drover::shepherd
