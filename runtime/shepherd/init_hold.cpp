// Init's part in holding its job where it is. What comes of it is told by the stage that droverd is shown, so that the
// next droverd knows it, too.
#include "runtime/shepherd/init.h"

namespace drover::shepherd {

void Init::hold() {
  if (stage_ == Stage::Held) return tell(Type::Welcome, describe());
  const bool waits = waiting_task_ && waiting_task_->work == Work::Hold;
  if (stage_ == Stage::Holding || waits) return;  // Welcome follows
  WorkerTask task;
  task.work = Work::Hold;
  begin_task(std::move(task));
}

void Init::release() {
  if (waiting_task_ && waiting_task_->work == Work::Hold) {
    waiting_task_.reset();
    tell(Type::HoldFailed, Text{"it was released meanwhile"});
  }
  // Also to one that is about to stop the job: it reads this when it has.
  if (is_held()) return channel_->send(static_cast<std::uint16_t>(Channel::Release), pack(Text{}));
  tell(Type::Welcome, describe());
}

void Init::on_held() {
  if (stage_ != Stage::Holding) return;
  stage_ = Stage::Held;
  tell(Type::Welcome, describe());
}

// Released, or it could not be held.
void Init::on_hold_over(ThawedHere&& thawed) {
  if (!is_held()) return;  // it has ended meanwhile
  known_waits_ = std::move(thawed.known_waits);
  stage_ = Stage::Running;
  if (!thawed.reason.empty()) tell(Type::HoldFailed, Text{thawed.reason});
  tell(Type::Welcome, describe());
  let_streams_flow();
}

// Its tracer died, and the kernel has let the job go on.
void Init::hold_lost() {
  stage_ = Stage::Running;
  if (all_killed_) return;  // and so is the job, as we are about to hear
  tell(Type::Welcome, describe());
  let_streams_flow();
}

}  // namespace drover::shepherd
