#include "launcher/world/pid_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

pid_t read_pid(int fd) {
  std::array<char, 32> text{};
  return ::pread(fd, text.data(), text.size() - 1, 0) > 0 ? static_cast<pid_t>(std::strtol(text.data(), nullptr, 10))
                                                          : 0;
}

}  // namespace

std::optional<PidFile> PidFile::acquire(const std::string& path) {
  UniqueFd fd(check(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), "open", path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    throw SystemError("flock", path, errno);
  }
  PidFile file(path, std::move(fd));
  file.write_own_pid();
  return file;
}

std::optional<pid_t> PidFile::holder(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;
  const pid_t pid = read_pid(fd.get());
  return pid > 0 ? std::optional(pid) : std::nullopt;
}

void PidFile::write_own_pid() {
  const std::string text = fmt::format("{}\n", ::getpid());
  check(::ftruncate(fd_.get(), 0), "truncate", path_);
  check(::pwrite(fd_.get(), text.data(), text.size(), 0), "write", path_);
}

void PidFile::remove() { ::unlink(path_.c_str()); }

}  // namespace drover
