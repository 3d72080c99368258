// What is done to a job at its place without its leaving it: `drover hold` and `release`, and images in files, of it or
// to begin with.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>

#include "ckpt/sys/error.h"
#include "runtime/jobs/placed.h"

namespace drover {

using shepherd::CheckpointDone;
using shepherd::Stage;
using shepherd::Type;

std::string held_text(std::int64_t job) { return fmt::format("it is held; drover release {} first", job); }

void PlacedJobs::hold(int from, const JobHold& order) {
  PlacedJob* job = find(order.job);
  const auto refuse = [&](const std::string& why, bool passing) {
    cluster_.send(from, Msg::JobHoldFailed, JobHoldFailed{order.job, why, passing});
  };
  if (job == nullptr || job->moving_in || job->stage == Stage::Starting)
    return refuse(fmt::format("it does not run on {} (any more)", cluster_.self_name()), true);
  if (job->stage == Stage::Ended) return refuse("it has ended", false);
  if (job->moving_out) return refuse("it is being moved", true);
  if (job->checkpoint) return refuse("an image of it is being written", true);
  job->holding = order.on;
  tell(*job, order.on ? Type::Hold : Type::Release, {});
}

void PlacedJobs::hold_failed(PlacedJob& job, const std::string& why) {
  job.holding = false;
  tell_origin(job, Msg::JobHoldFailed, pack(JobHoldFailed{job.facts.job, why, false}));
}

namespace {

std::string unfinished(const JobCheckpoint& order) { return fmt::format("{}.{}.unfinished", order.path, order.job); }

// Its shepherd has seen to it that all of it is on the disk; now the name, before anybody hears of it.
void keep_image(const std::string& from, const std::string& to) {
  check(std::rename(from.c_str(), to.c_str()), "rename to", to);
  const UniqueFd directory(::open(to.substr(0, to.rfind('/') + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

}  // namespace

void PlacedJobs::checkpoint(int from, const JobCheckpoint& order) {
  PlacedJob* job = find(order.job);
  const auto refuse = [&](const std::string& why, bool passing) {
    cluster_.send(from, Msg::JobCheckpointed, JobCheckpointed{order.job, order.request, {why, 0, 0}, passing});
  };
  if (job == nullptr || job->moving_in || job->stage == Stage::Starting)
    return refuse(fmt::format("it does not run on {} (any more)", cluster_.self_name()), true);
  if (job->stage == Stage::Ended) return refuse("it has ended", false);
  if (job->moving_out) return refuse("it is being moved", true);
  if (job->holding) return refuse("it is about to be held", true);
  if (job->checkpoint) return refuse("another image of it is being written", true);
  job->checkpoint = {from, order.request, order.path, std::make_shared<UniqueFd>(), false};
  auto error = std::make_shared<std::string>();
  cluster_.in_background(
      [order, file = job->checkpoint->file, error, node = cluster_.self_name()] {
        const std::string path = unfinished(order);
        ::unlink(path.c_str());  // of an attempt that nobody ended
        file->reset(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!*file)
          *error = fmt::format("{} can't create {}: {}; name a file in a directory that all nodes share", node, path,
                               error_text(errno));
      },
      [this, order, file = job->checkpoint->file, error] { begin_checkpoint(order, file, *error); });
}

void PlacedJobs::begin_checkpoint(const JobCheckpoint& order, const std::shared_ptr<UniqueFd>& file,
                                  const std::string& error) {
  PlacedJob* job = find(order.job);
  // Its end has answered already.
  if (job == nullptr || !job->checkpoint || job->checkpoint->file != file) {
    if (*file) ::unlink(unfinished(order).c_str());
    return;
  }
  if (!error.empty()) return finish_checkpoint(*job, {error, 0, 0});
  job->checkpoint->begun = true;
  std::vector<UniqueFd> fds;
  fds.emplace_back(check(::dup(file->get()), "dup", "image"));
  tell(*job, Type::Checkpoint, pack(shepherd::Text{order.record}), std::move(fds));
}

void PlacedJobs::finish_checkpoint(PlacedJob& job, CheckpointDone done) {
  if (!job.checkpoint) return;
  const CheckpointUnderWay was = *std::exchange(job.checkpoint, std::nullopt);
  const std::int64_t id = job.facts.job;
  auto answer = std::make_shared<JobCheckpointed>(JobCheckpointed{id, was.request, std::move(done), false});
  cluster_.in_background(
      [answer, was, from = unfinished({id, 0, was.path, {}}), node = cluster_.self_name()] {
        CheckpointDone& end = answer->done;
        if (!*was.file) return;
        try {
          if (end.error.empty()) return keep_image(from, was.path);
        } catch (const SystemError& error) {
          end.error = fmt::format("on {}: {}", node, error.what());
        }
        ::unlink(from.c_str());
      },
      [this, answer, asker = was.asker] { cluster_.send(asker, Msg::JobCheckpointed, *answer); });
}

// Its shepherd is there, and waits to hear what to do.
void PlacedJobs::start_of_image(std::int64_t id) {
  auto image = std::make_shared<UniqueFd>();
  auto error = std::make_shared<int>(0);
  const std::string path = jobs_.at(id).order->spec.image;
  cluster_.in_background(
      [image, error, path] {
        image->reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!*image) *error = errno;
      },
      [this, id, image, error, path] {
        PlacedJob* job = find(id);
        if (job == nullptr || !job->order) return;
        if (*error != 0) {
          tell_origin(*job, Msg::PlaceFailed, pack(PlaceFailed{id, job->facts.epoch, {*error, "open", path, false}}));
          tell(*job, Type::Quit, {});
          return remove(id);
        }
        const PlaceOrder& order = *job->order;
        const shepherd::StartOfImage start{order.facts,
                                           order.claim,
                                           {order.output_base[0], order.output_base[1]},
                                           {order.output_continued[0], order.output_continued[1]},
                                           order.spec.truncate};
        std::vector<UniqueFd> fds;
        fds.push_back(std::move(*image));
        tell(*job, Type::StartOfImage, pack(start), std::move(fds));
      });
}

}  // namespace drover
