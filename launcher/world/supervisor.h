// The process behind `drover up`: runs mpirun, and starts a new world when that dies though nobody asked for it.
//
// mpirun is a single point of failure (its death kills every rank within a second), but jobs live on under their
// shepherds, and the next world's droverds find them again. Each world has a generation higher than any before on this
// state directory; shepherds obey the highest. An mpirun that does not return when its ranks have gone is ended: 2 s,
// TERM, 2 s, KILL.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <set>
#include <string>

#include "ckpt/sys/unique_fd.h"
#include "launcher/world/mpi_settings.h"
#include "launcher/world/pid_file.h"
#include "runtime/control/paths.h"

namespace drover {

// RUNTIME/INSTANCE/down-requested: written by `drover down`; its presence says that the world's end is wanted.
std::string down_request_file(const InstancePaths& paths);

// Next generation of this instance, kept in STATE/INSTANCE/generation; stored before it is returned.
long next_generation(const InstancePaths& paths);

class Supervisor {
 public:
  // `pid_file` is held as long as this lives. `ready` is the reading end of a pipe: a byte says that the first world is
  // ready, its end without one that the `drover up` which waited is gone.
  Supervisor(InstancePaths paths, WorldOptions options, std::string mpirun, std::string droverd, PidFile pid_file,
             UniqueFd ready);

  // Until `drover down`, SIGTERM or failure. Returns the exit code: 0 for an orderly end.
  int run();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Wake { WorldEnded, EndRequested, Timeout };

  pid_t start_world();
  Wake wait(std::chrono::milliseconds longest);
  void end_world();
  bool reap();
  bool first_world_confirmed();
  bool give_up_or_back_off(Clock::duration lived);
  void log(const std::string& text) const;

  InstancePaths paths_;
  WorldOptions options_;
  std::string mpirun_, droverd_;
  PidFile pid_file_;
  UniqueFd ready_;
  sigset_t signals_;
  pid_t world_ = -1;
  bool confirmed_ = false;
  bool end_requested_ = false;
  int quick_deaths_ = 0;
  std::string last_end_;
  std::set<std::string> own_settings_;  // variables that an earlier world set
};

}  // namespace drover
