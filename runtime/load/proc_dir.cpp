#include "runtime/load/proc_dir.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "ckpt/sys/unique_fd.h"

namespace drover {

std::string ProcDir::read(const std::string& name) const {
  const UniqueFd fd(::open((root_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!fd) return text;
  // A /proc file is made anew at each read from its start, so a whole one should fit one read.
  for (std::size_t chunk = 4096;; chunk *= 2) {
    const std::size_t old = text.size();
    text.resize(old + chunk);
    const ssize_t n = ::read(fd.get(), text.data() + old, chunk);
    if (n < 0 && errno == EINTR) {
      text.resize(old);
      continue;
    }
    text.resize(old + (n > 0 ? static_cast<std::size_t>(n) : 0));
    if (n <= 0) return text;
  }
}

}  // namespace drover
