// Init's part in images in files: one is written of its job, or its job begins as one says.
#include <algorithm>

#include "runtime/shepherd/init.h"

namespace drover::shepherd {

void Init::checkpoint(const std::string& record, UniqueFd file) {
  WorkerTask task;
  task.work = Work::Checkpoint;
  task.record = record;
  task.image = std::move(file);
  if (!namespaces_) return refuse_task(task, "it runs without namespaces of its own");
  if (stage_ != Stage::Held) return begin_task(std::move(task));
  if (!task.image) return refuse_task(task, "the file for it has not come");
  describe_source(task);
  checkpointing_ = true;
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(task.image));
  if (task.terminal) fds.push_back(std::move(task.terminal));
  channel_->send(static_cast<std::uint16_t>(Channel::Checkpoint), pack(task), std::move(fds));
}

void Init::on_checkpoint_done(const CheckpointDone& done) {
  checkpointing_ = false;
  tell(Type::CheckpointDone, done);
  // Of one that ran Thawed has done so. A held one may have been killed meanwhile, and its last output waits.
  if (stage_ == Stage::Held || stage_ == Stage::Ended) let_streams_flow();
}

void Init::start_of_image(StartOfImage&& order, UniqueFd image) {
  if (stage_ != Stage::Empty) return;
  stage_ = Stage::Restoring;
  facts_ = order.facts;
  start_ = std::move(order);
  if (!namespaces_) return on_restore_failed({0, "restore", "there are no namespaces for it", false});
  if (!image) return on_restore_failed({0, "restore", "the image has not come", false});
  use_pipes();  // whether it has a terminal is only known when that is made again
  WorkerTask task;
  task.order.epoch = facts_.epoch;
  task.order.destination = hello_.node;
  task.job_dir = job_dir();
  task.node_dir = node_dir_;
  task.cpus = hello_.cpus;
  task.namespaces = namespaces_;
  task.claim = start_->claim;
  task.truncate = start_->truncate;
  task.image = std::move(image);
  task.stream_fds = {input_->job_end(), output_[0]->job_end(), output_[1]->job_end()};
  fork_worker(std::move(task), [](WorkerTask t) { run_start_worker(std::move(t)); });
}

// The new job's stream begins where its file ends. Of what was on its way when the image was made the old file has
// certainly got what was acknowledged; the rest as a rule, too, unless its node was lost.
StreamState Init::continued(const StreamState& before, std::size_t stream) const {
  const std::uint64_t base = start_->output_base[stream];
  StreamState now{base, {}, before.ended};
  if (start_->output_continued[stream] && base >= before.offset && base - before.offset < before.bytes.size())
    now.bytes = before.bytes.substr(base - before.offset);
  return now;
}

void Init::on_restore_failed(const StartFailed& failure) {
  if (!start_ || stage_ != Stage::Restoring) return;
  start_.reset();
  stage_ = Stage::Ended;  // droverd answers with EndedAck
  kill_all();
  tell(Type::StartFailed, failure);
}

}  // namespace drover::shepherd
