#include "launcher/shell/remote.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ckpt/sys/error.h"
#include "launcher/job_spec.h"
#include "launcher/shell/leader.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

int can_execute(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) < 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  return ::access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

std::string random_secret() {
  unsigned long number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) throw SystemError("getrandom", "", errno);
  return fmt::format("{:016x}", number);
}

std::string own_program() {
  std::string path(4096, '\0');
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  if (n < 0) throw SystemError("readlink", "/proc/self/exe", errno);
  path.resize(static_cast<std::size_t>(n));
  return path;
}

}  // namespace

std::string find_program(const std::string& name, int& error) {
  error = ENOENT;
  if (name.find('/') != std::string::npos) {
    error = can_execute(name);
    return error == 0 ? name : "";
  }
  const char* variable = ::getenv("PATH");
  const std::string path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  for (std::size_t begin = 0; begin <= path.size() && !name.empty();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string directory = path.substr(begin, end - begin);
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    const int found = can_execute(candidate);
    if (found == 0) return candidate;
    // It is there; that a directory of PATH may not be looked into says nothing of the program.
    if (found == EACCES && ::access(candidate.c_str(), F_OK) == 0) error = EACCES;
    begin = end + 1;
  }
  return "";
}

int run_remote(const Remote& remote, const Context& context, const SessionOptions& session) {
  int error = 0;
  if (find_program(remote.argv[0], error).empty()) {
    const bool missing = error == ENOENT && remote.argv[0].find('/') == std::string::npos;
    tell("drover shell: {}: {}\n", remote.argv[0], missing ? "not found" : std::strerror(error));
    return error == ENOENT ? 127 : 126;
  }
  JobOptions options;
  options.node = remote.node;
  std::vector<std::string> argv = remote.argv;
  RunSession::Options run;
  if (remote.terminal) {
    const std::string secret = random_secret();
    options.name = argv[0].substr(argv[0].rfind('/') + 1);
    argv.insert(argv.begin(), {own_program(), kLeaderWord, secret});
    run.stop_mark = stop_mark(secret);
    run.pipe_fd = remote.pipe_fd;
  }
  run.on_job = [fd = remote.report_fd](long job) {
    if (fd >= 0) [[maybe_unused]]
      const ssize_t ignored = ::write(fd, &job, sizeof job);
  };
  try {
    Json spec = options.spec(argv);
    spec["terminal"] = remote.terminal;
    return session.follow(
        context, remote.terminal, [&](RunSession& run_session) { return run_session.run(std::move(spec)); }, run);
  } catch (const std::exception& failure) {
    tell("drover shell: {}\n", failure.what());
    return 125;
  }
}

}  // namespace drover::shell
