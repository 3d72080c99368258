#include "runtime/migrate/register.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

namespace {

std::string owner_path(const std::string& job_dir, std::int64_t epoch) {
  return fmt::format("{}/owner.{}", job_dir, epoch);
}

// Unique among all hosts that share the directory: PIDs alone repeat between hosts and between PID namespaces.
std::string private_path(const std::string& job_dir, std::int64_t epoch, const std::string& node) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return fmt::format("{}/.claim.{}.{}.{}.{}{:09}", job_dir, epoch, node, ::getpid(), now.tv_sec, now.tv_nsec);
}

void write_durably(const std::string& path, const std::string& text) {
  const UniqueFd fd(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "create", path));
  if (check(::write(fd.get(), text.data(), text.size()), "write", path) != static_cast<ssize_t>(text.size()))
    throw SystemError("write", path, ENOSPC);
  // The content must be on the server before the name is: a reader of the name must find it whole, after a crash too.
  check(::fsync(fd.get()), "fsync", path);
}

}  // namespace

std::optional<Owner> read_owner(const std::string& job_dir, std::int64_t epoch) {
  const std::string path = owner_path(job_dir, epoch);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw SystemError("open", path, errno);
  }
  char text[512];
  const ssize_t n = check(::read(fd.get(), text, sizeof text), "read", path);
  const std::string content(text, static_cast<std::size_t>(n));
  const auto first = content.find('\n');
  const auto second = first == std::string::npos ? first : content.find('\n', first + 1);
  if (second == std::string::npos) throw SystemError("read", path + " (not a register entry)", EBADMSG);
  return Owner{content.substr(0, first), content.substr(first + 1, second - first - 1)};
}

Owner claim_ownership(const std::string& job_dir, std::int64_t epoch, const Owner& owner) {
  const std::string mine = private_path(job_dir, epoch, owner.node);
  write_durably(mine, owner.node + "\n" + owner.by + "\n");
  const int linked = ::link(mine.c_str(), owner_path(job_dir, epoch).c_str());
  const int error = errno;
  // NFS may repeat a lost reply, so that the link is made and EEXIST returned: the link count tells (open(2), NOTES on
  // O_EXCL).
  struct stat status {};
  const bool known = ::stat(mine.c_str(), &status) == 0;
  const bool won = linked == 0 || (known && status.st_nlink == 2);
  ::unlink(mine.c_str());
  if (won) return owner;
  if (error != EEXIST) throw SystemError("link", owner_path(job_dir, epoch), error);
  auto holder = read_owner(job_dir, epoch);
  if (!holder) throw SystemError("read", owner_path(job_dir, epoch), ESTALE);
  return *holder;
}

void mark_running(const std::string& job_dir, std::int64_t epoch) {
  const std::string path = fmt::format("{}/running.{}", job_dir, epoch);
  const UniqueFd fd(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "create", path));
}

bool is_marked_running(const std::string& job_dir, std::int64_t epoch) {
  return ::access(fmt::format("{}/running.{}", job_dir, epoch).c_str(), F_OK) == 0;
}

}  // namespace drover
