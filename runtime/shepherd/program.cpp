#include "runtime/shepherd/program.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include "ckpt/image/archive.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover::shepherd {

namespace {

struct StartError {
  int error;
  std::string step, subject;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (const auto& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string_view search_path(const JobSpec& spec) {
  for (const auto& entry : spec.env)
    if (entry.rfind("PATH=", 0) == 0) return std::string_view(entry).substr(5);
  return "/usr/local/bin:/usr/bin:/bin";
}

void reset_signals() {
  for (int signo = 1; signo < NSIG; ++signo) ::signal(signo, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void apply_limits(const JobSpec& spec) {
  for (const auto& limit : spec.limits) {
    const rlimit wanted{limit.soft, limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &wanted) == 0) continue;
    // This node's hard limit may be lower than the submitter's: as much as it gives, like a login here.
    rlimit have{};
    if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &have) < 0) continue;
    have.rlim_cur = std::min<rlim_t>(limit.soft, have.rlim_max);
    ::setrlimit(static_cast<__rlimit_resource>(limit.resource), &have);
  }
}

void bind_to(const std::vector<std::int32_t>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  ::sched_setaffinity(0, sizeof set, &set);  // an offline PU is no reason not to run
}

// As execvp(3), but with the job's own PATH, and remembering a file that was there but could not be executed.
[[noreturn]] void exec(const JobSpec& spec) {
  const auto argv = pointers(spec.argv);
  const auto env = pointers(spec.env);
  const std::string& name = spec.argv.at(0);
  if (name.find('/') != std::string::npos) {
    ::execve(name.c_str(), argv.data(), env.data());
    throw StartError{errno, "exec", name};
  }
  int error = ENOENT;
  for (std::string_view path = search_path(spec);;) {
    const auto colon = path.find(':');
    const std::string dir(path.substr(0, colon));
    const std::string file = (dir.empty() ? "." : dir) + "/" + name;
    ::execve(file.c_str(), argv.data(), env.data());
    const int why = errno;
    const bool missing = why == ENOENT || why == ENOTDIR;
    // A folder that may not be searched says nothing about the program: as a shell, go on and call it missing.
    const bool hidden = why == EACCES && ::access(file.c_str(), F_OK) < 0;
    if (!missing && !hidden) {
      error = why;
      if (why != EACCES) break;
    }
    if (colon == std::string_view::npos) break;
    path.remove_prefix(colon + 1);
  }
  throw StartError{error, "exec", name};
}

void connect_streams(const ProgramStreams& streams) {
  const int fds[] = {streams.in, streams.out, streams.err};
  for (int i = 0; i < 3; ++i)
    if (::dup2(fds[i], i) < 0) throw StartError{errno, "dup2", std::to_string(fds[i])};
}

[[noreturn]] void run_child(const JobSpec& spec, const ProgramStreams& streams, const std::vector<std::int32_t>& cpus,
                            const std::function<void()>& before) {
  before();
  ::setsid();
  reset_signals();
  apply_limits(spec);
  bind_to(cpus);
  ::umask(spec.umask);
  if (::chdir(spec.cwd.c_str()) < 0) throw StartError{errno, "chdir", spec.cwd};
  connect_streams(streams);
  if (spec.terminal && ::ioctl(1, TIOCSCTTY, 0) < 0) throw StartError{errno, "TIOCSCTTY", "its terminal"};
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  exec(spec);
}

}  // namespace

StartingProgram start_program(const JobSpec& spec, const ProgramStreams& streams, const std::vector<std::int32_t>& cpus,
                              const std::function<void()>& before) {
  int report[2];
  check(::pipe2(report, O_CLOEXEC), "pipe2");
  UniqueFd read_end(report[0]), write_end(report[1]);
  const pid_t pid = check(::fork(), "fork");
  if (pid > 0) return {pid, read_end.release()};

  StartFailed failed;
  try {
    run_child(spec, streams, cpus, before);
  } catch (const StartError& error) {
    failed = {error.error, error.step, error.subject, false};
  } catch (const LostRegister& lost) {
    failed = {0, "register", lost.winner, true};
  } catch (const SystemError& error) {
    failed = {error.error(), "register", error.what(), false};
  } catch (const std::exception& error) {
    failed = {EIO, "start", error.what(), false};
  }
  const std::string bytes = pack(failed);
  (void)!::write(write_end.get(), bytes.data(), bytes.size());
  ::_exit(127);
}

}  // namespace drover::shepherd
