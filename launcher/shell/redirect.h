// < > >> 2>&1 and the like, applied to this process's descriptors.
#pragma once

#include <vector>

#include "ckpt/sys/unique_fd.h"
#include "launcher/shell/expand.h"
#include "launcher/shell/syntax.h"

namespace drover::shell {

// Puts descriptors back at its end, as a builtin's must be.
class Redirected {
 public:
  Redirected() = default;
  ~Redirected();
  Redirected(const Redirected&) = delete;
  Redirected& operator=(const Redirected&) = delete;

  // Throws std::runtime_error ("path: why"), what is redirected by then is put back at the end as well.
  void apply(const std::vector<Redirection>& redirections, Environment& environment);
  // They stay as they are, as `exec` wants it and a child that is for one command.
  void keep() { saved_.clear(); }

 private:
  struct Saved {
    int fd;
    UniqueFd copy;  // empty: it was closed
  };
  void apply(const Redirection& redirection, Environment& environment);
  void put(int fd, UniqueFd opened);
  void save(int fd);

  std::vector<Saved> saved_;
};

}  // namespace drover::shell
