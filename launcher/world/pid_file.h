// RUNTIME/INSTANCE/up.pid: which process supervises this instance. The lock on it, not its contents, says that one
// lives: a lock ends with its holder, whatever ends that.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "ckpt/sys/unique_fd.h"

namespace drover {

class PidFile {
 public:
  // Takes the lock. Empty if another process has it. Throws SystemError.
  static std::optional<PidFile> acquire(const std::string& path);
  // The process that holds the lock of `path`; empty if none does.
  static std::optional<pid_t> holder(const std::string& path);

  // Writes this process's id: the lock survives fork, and the child is the one to be known.
  void write_own_pid();
  void remove();

 private:
  PidFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

}  // namespace drover
