// The shepherds of an earlier attempt of a job that has been started anew since (attempt.h): they are ended, and a new
// attempt waits until the last one's shepherd is gone.
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include "runtime/jobs/attempt.h"
#include "runtime/jobs/placed.h"

namespace drover {

using shepherd::Type;

PlacedJob* PlacedJobs::find_attempt(std::int64_t id, int attempt) {
  PlacedJob* job = find(id);
  return job != nullptr && attempt_of(job->facts.epoch) == attempt ? job : nullptr;
}

// One that is moving has its end when the move has: its next word to the origin leads here again.
void PlacedJobs::dismiss(PlacedJob& job) {
  if (job.reserved || job.moving_out || job.moving_in || !job.link) return;
  const std::int64_t id = job.facts.job;
  spdlog::warn("job {}: ending an attempt here, since a later one counts (epoch {})", id, job.facts.epoch);
  cluster_.log_event(nlohmann::json{
      {"event", "outdated"}, {"job", id}, {"attempt", attempt_of(job.facts.epoch)}, {"epoch", job.facts.epoch}}
                         .dump());
  finish_checkpoint(job, {"a later attempt counts", 0, 0});
  tell(job, Type::Quit, {});
  dismissed_[{id, job.link_epoch}] = std::move(job.link);
  jobs_.erase(id);
}

// Its shepherd goes at the order that comes after the end of its processes.
void PlacedJobs::on_dismissed_frame(const LinkKey& key, const Frame& frame) {
  const auto found = dismissed_.find(key);
  if (found == dismissed_.end()) return;
  const auto type = static_cast<Type>(frame.type);
  if (type == Type::Welcome || type == Type::Started || type == Type::StartFailed || type == Type::Ended)
    found->second->send(static_cast<std::uint16_t>(Type::Quit), {});
}

void PlacedJobs::on_dismissed_closed(const LinkKey& key) {
  const auto found = dismissed_.find(key);
  if (found == dismissed_.end()) return;
  retired_.push_back(std::move(found->second));
  dismissed_.erase(found);
  place_later(key.first);
}

bool PlacedJobs::is_dismissing(std::int64_t id) const {
  const auto left = dismissed_.lower_bound({id, 0});
  return left != dismissed_.end() && left->first.first == id;
}

// What waited for the shepherd of an earlier attempt. From the loop: this is called from inside handlers of links.
void PlacedJobs::place_later(std::int64_t id) {
  cluster_.loop().after(Nanoseconds::zero(), [this, id] {
    retired_.clear();
    // If anything of it is still here the order goes on waiting.
    if (auto waiting = waiting_.extract(id)) place(waiting.mapped().from, std::move(waiting.mapped().order));
  });
}

// False: it can be started now.
bool PlacedJobs::wait_for_attempt(int from, PlaceOrder& order) {
  const std::int64_t id = order.facts.job;
  PlacedJob* before = find(id);
  if (before != nullptr && before->reserved) before = nullptr;
  if (before == nullptr && !is_dismissing(id)) return false;
  if (before != nullptr && attempt_of(before->facts.epoch) >= attempt_of(order.facts.epoch))
    return true;  // a repeated order starts nothing
  waiting_[id] = {from, std::move(order)};
  if (before != nullptr) dismiss(*before);
  return true;
}

}  // namespace drover
