// The end of a move at its source: the copy here is gone, as it should be or because its shepherd died.
#include <signal.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/jobs/attempt.h"
#include "runtime/migrate/left_files.h"
#include "runtime/migrate/movers.h"
#include "runtime/migrate/register.h"

namespace drover {

void OutgoingMoves::moved_away(PlacedJob& job, const std::vector<std::int32_t>& held_signals) {
  const std::int64_t id = job.facts.job;
  Move* move = by_job(id);
  if (move != nullptr) {
    for (const int signo : held_signals)
      context_.cluster.send(move->to, Msg::JobSignal, JobSignal{id, attempt_of(job.facts.epoch), signo});
    remove_files(*move);
  }
  context_.placed.remove(id);
}

// What the destination has not made it has used: then it is the same file, which two nodes of one host see. If it has
// not said so (the register has told us), all stays. The move is reported when that is done, so that the next one may
// bring the job back.
void OutgoingMoves::remove_files(const Move& move) {
  auto files = std::make_shared<std::vector<MemoryFile>>();
  auto lines = std::make_shared<std::vector<std::string>>();
  for (const MemoryFile& file : move.memory_files) {
    if (!move.made_files)
      lines->push_back(file.path + " stays: the destination has not said that it has one of its own");
    else if (std::find(move.made_files->begin(), move.made_files->end(), file.path) != move.made_files->end())
      files->push_back(file);
  }
  const auto done = [this, lines, job = move.job, transfer = move.transfer] {
    for (const std::string& line : *lines) spdlog::info("job {} has gone, its file {}", job, line);
    if (const auto found = moves_.find(transfer); found != moves_.end()) finish(found->second, true);
  };
  if (files->empty()) return done();
  context_.cluster.in_background([files, lines] { *lines = remove_left_files(*files); }, done);
}

// Before its shepherd heard that it shall move: what it answers to that order may come when the job is forgotten. Or
// past the image's end, if the worker died with the copy and the register is ours.
void OutgoingMoves::ended(PlacedJob& job) {
  Move* move = by_job(job.facts.job);
  if (move == nullptr) return;
  const char* const why = "the job has ended";
  if (move->error.empty()) move->error = why;
  abort(*move, why);
  finish(*move, false);
}

// The shepherd died with everything it held. Past the image's end the job may live on at the destination.
void OutgoingMoves::shepherd_lost(PlacedJob& job) {
  Move* move = by_job(job.facts.job);
  if (move == nullptr) return;
  if (move->stage != Stage::EndSent) {
    abort(*move, "the job's shepherd died");
    return finish(*move, false);
  }
  move->stage = Stage::Orphaned;
  move->error = "the job's shepherd died";
  job.stage = shepherd::Stage::Empty;  // its end is not to be reported: it may not be one
  // The destination's copy is the only one that can still live: it gets the time to win.
  context_.cluster.loop().after(std::chrono::seconds(10),
                                [this, transfer = move->transfer] { settle_orphan(transfer); });
}

void OutgoingMoves::settle_orphan(std::uint32_t transfer) {
  const auto found = moves_.find(transfer);
  if (found == moves_.end() || found->second.stage != Stage::Orphaned) return;
  auto won = std::make_shared<bool>(false);
  Cluster& cluster = context_.cluster;
  cluster.in_background(
      [won, dir = cluster.paths().job_dir(found->second.job), epoch = found->second.epoch, self = cluster.self_name()] {
        *won = claim_ownership(dir, epoch, {self, "source " + self}).node == self;
      },
      [this, won, transfer] {
        const auto settled = moves_.find(transfer);
        if (settled == moves_.end() || settled->second.stage != Stage::Orphaned) return;
        if (*won) report_orphan_ended(settled->second);
        finish(settled->second, !*won);
      });
}

void OutgoingMoves::report_orphan_ended(const Move& move) {
  const int origin = context_.cluster.rank_of(move.facts.origin);
  const JobEnded ended{move.job, move.facts.epoch, {SIGKILL, 0, 0, realtime_ns()}, false, true};
  if (origin >= 0) context_.cluster.send(origin, Msg::JobEnded, ended);
}

}  // namespace drover
