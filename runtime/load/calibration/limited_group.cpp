#include "runtime/load/calibration/limited_group.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/load/cgroup.h"

namespace drover {

namespace {

constexpr const char* kPrefix = "drover-calibrate-";

int write_file(const std::string& path, const std::string& text) {  // an errno, 0 if it worked
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return errno;
  return ::write(fd.get(), text.data(), text.size()) < 0 ? errno : 0;
}

// Of calibrations that were killed; those that run have a process of that number.
void remove_left_overs(const std::string& parent) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename();
    if (name.rfind(kPrefix, 0) != 0) continue;
    const pid_t maker = std::atoi(name.c_str() + std::strlen(kPrefix));
    if (maker > 0 && ::kill(maker, 0) != 0 && errno == ESRCH) ::rmdir(it->path().c_str());
  }
}

bool can_enter(const LimitedGroup& group) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(group.enter() ? 0 : 1);
  int status = -1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::unique_ptr<LimitedGroup> LimitedGroup::make(std::uint64_t limit_bytes, std::string& reason, const ProcDir& proc) {
  reason = "no memory cgroup hierarchy is mounted";
  for (const Cgroup& own : find_cgroups(proc, "memory")) {
    // v2: a group with processes in it can't hand its memory controller to groups below (cgroup-v2.rst, "No Internal
    // Process Constraint"), but those above it that systemd made can.
    for (std::string path = own.path;; path.erase(path.rfind('/'))) {
      if (auto group = make_below(own.mount + path, own.v2, limit_bytes, reason)) return group;
      if (!own.v2 || path.find('/') == std::string::npos) break;
    }
  }
  return nullptr;
}

std::unique_ptr<LimitedGroup> LimitedGroup::make_below(const std::string& above, bool v2, std::uint64_t limit_bytes,
                                                       std::string& reason) {
  remove_left_overs(above);
  const std::string path = fmt::format("{}/{}{}", above, kPrefix, ::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) {
    reason = fmt::format("can't make a cgroup in {}: {}", above, error_text(errno));
    return nullptr;
  }
  std::unique_ptr<LimitedGroup> group(new LimitedGroup(path, limit_bytes));  // the constructor is private
  const std::string file = path + (v2 ? "/memory.max" : "/memory.limit_in_bytes");
  if (const int error = write_file(file, std::to_string(limit_bytes)); error != 0) {
    reason = fmt::format("can't limit a cgroup's memory: {}: {}", file, error_text(error));
    return nullptr;
  }
  if (!can_enter(*group)) {
    reason = fmt::format("can't put a program into the cgroup {}", path);
    return nullptr;
  }
  reason.clear();
  return group;
}

LimitedGroup::~LimitedGroup() {
  // Ended processes leave their group a moment after they have been reaped.
  for (int i = 0; i < 200 && ::rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

bool LimitedGroup::enter() const { return write_file(path_ + "/cgroup.procs", "0") == 0; }

}  // namespace drover
