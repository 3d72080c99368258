// A job's terminal: init holds the master (pty(7)), whatever holds the slave is the job.
#pragma once

#include <sys/types.h>

#include "ckpt/sys/unique_fd.h"
#include "runtime/shepherd/messages.h"

namespace drover::shepherd {

class JobTerminal {
 public:
  // A new one, in the devpts of the caller's mount namespace. Throws SystemError.
  explicit JobTerminal(WindowSize size);
  // One that is there already, by its master.
  explicit JobTerminal(UniqueFd master) : master_(std::move(master)) {}

  UniqueFd copy_of_master() const;
  UniqueFd open_slave() const;
  // Whoever is in the foreground hears of it, if it is another size.
  void resize(WindowSize size) const;
  pid_t foreground_group() const;  // in the caller's PID namespace; 0: none

 private:
  UniqueFd master_;
};

}  // namespace drover::shepherd
