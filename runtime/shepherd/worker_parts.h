// What both kinds of workers use, and their two halves.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "ckpt/dump/dump.h"
#include "ckpt/freeze/still_waiting.h"
#include "runtime/control/clock.h"
#include "runtime/control/connection.h"
#include "runtime/shepherd/worker.h"

namespace drover::shepherd {

// The keys under which a job's standard streams stand in an image.
inline constexpr const char* kStreams[] = {"stdin", "stdout", "stderr"};

class Stopwatch {
 public:
  std::uint64_t lap() {
    const std::uint64_t now = monotonic_ns();
    return now - std::exchange(last_, now);
  }

 private:
  std::uint64_t last_ = monotonic_ns();
};

template <class T>
void tell(Connection& init, Channel type, const T& message) {
  init.send(static_cast<std::uint16_t>(type), pack(message));
}

// A line in the shepherd's log.
void complain(const std::string& what);

// The rank may be gone; what is left to say to it is lost then, and nothing else may be.
inline void tell_rank(Connection& rank, Type type, const std::string& payload) noexcept {
  try {
    rank.send(static_cast<std::uint16_t>(type), payload);
  } catch (const std::exception&) {
  }
}

// Asks init for what must travel: the job is frozen from here on.
JobContext take_snapshot(Connection& init);
// Of every dump of a job.
DumpOptions dump_options(const WorkerTask& task, const JobContext& context);

// One dump, hold or restore to its end. What they give back is not over yet, and the next dump has to be told of.
StillWaiting dump_job(WorkerTask task, Connection& init, StillWaiting still);        // source_worker.cpp
StillWaiting restore_job(WorkerTask task, Connection& init);                         // destination_worker.cpp
StillWaiting hold_job(WorkerTask task, Connection& init, StillWaiting still);        // hold_worker.cpp
StillWaiting checkpoint_job(WorkerTask task, Connection& init, StillWaiting still);  // checkpoint_worker.cpp
// What is in the way may be there for a moment only (Refusal::passing).
struct CheckpointTry {
  CheckpointDone done;
  bool passing = false;
};
CheckpointTry write_checkpoint(FrozenTree& tree, const WorkerTask& task, Connection& init);  // checkpoint_worker.cpp
void sync_image(const WorkerTask& task, CheckpointDone& done);
StillWaiting start_of_image(WorkerTask task, Connection& init);  // start_worker.cpp

}  // namespace drover::shepherd
