#include "ckpt/sys/unique_fd.h"

#include <unistd.h>

namespace drover {

void UniqueFd::reset(int fd) noexcept {
  // close(2) is never repeated after EINTR: on Linux the descriptor is gone by then.
  if (fd_ >= 0 && fd_ != fd) ::close(fd_);
  fd_ = fd;
}

}  // namespace drover
