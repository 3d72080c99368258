#include "launcher/world/supervisor.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kGrace = seconds(2);        // before TERM, and between TERM and KILL
constexpr auto kQuickDeath = seconds(10);  // a world that lives shorter counts against the limit
constexpr int kMostQuickDeaths = 5;
constexpr auto kFirstBackOff = milliseconds(200);
constexpr auto kLongestBackOff = seconds(30);

std::string describe_status(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("was ended by signal {} ({})", WTERMSIG(status), ::sigdescr_np(WTERMSIG(status)));
  return fmt::format("exited with code {}", WEXITSTATUS(status));
}

[[noreturn]] void exec_mpirun(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  fmt::print(stderr, "drover up: {}: {}\n", command[0], error_text(errno));
  ::_exit(127);
}

}  // namespace

std::string down_request_file(const InstancePaths& paths) { return paths.runtime + "/down-requested"; }

long next_generation(const InstancePaths& paths) {
  make_private_directory(paths.state);
  const std::string file = paths.state + "/generation", temporary = file + ".new";
  long generation = 0;
  std::ifstream(file) >> generation;
  ++generation;
  const UniqueFd fd(
      check(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open", temporary));
  const std::string text = fmt::format("{}\n", generation);
  check(::write(fd.get(), text.data(), text.size()), "write", temporary);
  check(::fsync(fd.get()), "fsync", temporary);
  check(::rename(temporary.c_str(), file.c_str()), "rename", temporary);
  return generation;
}

Supervisor::Supervisor(InstancePaths paths, WorldOptions options, std::string mpirun, std::string droverd,
                       PidFile pid_file, UniqueFd ready)
    : paths_(std::move(paths)),
      options_(std::move(options)),
      mpirun_(std::move(mpirun)),
      droverd_(std::move(droverd)),
      pid_file_(std::move(pid_file)),
      ready_(std::move(ready)) {
  ::sigemptyset(&signals_);
  for (const int signal : {SIGCHLD, SIGUSR1, SIGTERM, SIGINT}) ::sigaddset(&signals_, signal);
  ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
  pid_file_.write_own_pid();
}

void Supervisor::log(const std::string& text) const {
  fmt::print(stderr, "drover up [{:%F %T}]: {}\n", fmt::localtime(std::time(nullptr)), text);
}

int Supervisor::run() {
  int exit_code = 0;
  while (!end_requested_) {
    const auto begin = Clock::now();
    world_ = start_world();
    while (wait(seconds(3600)) == Wake::Timeout) {
    }
    if (world_ > 0) end_world();
    if (end_requested_ || ::access(down_request_file(paths_).c_str(), F_OK) == 0) break;
    log(fmt::format("mpirun {}", last_end_));
    if (!first_world_confirmed() || !give_up_or_back_off(Clock::now() - begin)) {
      exit_code = 1;
      break;
    }
  }
  log(exit_code == 0 ? "ended as asked" : "gave up");
  ::unlink(down_request_file(paths_).c_str());
  ::unlink((paths_.runtime + "/hostfile").c_str());
  pid_file_.remove();
  return exit_code;
}

pid_t Supervisor::start_world() {
  const long generation = next_generation(paths_);
  const std::string hostfile = paths_.runtime + "/hostfile";
  std::ofstream(hostfile, std::ios::trunc) << format_hostfile(options_.hosts);
  ::setenv("DROVER_GENERATION", fmt::format("{}", generation).c_str(), 1);
  for (const auto& [name, value] : mpi_settings(options_))
    if (std::getenv(name.c_str()) == nullptr || own_settings_.count(name) > 0) {  // the user's own win
      ::setenv(name.c_str(), value.c_str(), 1);
      own_settings_.insert(name);
    }
  const auto command = mpirun_command(mpirun_, options_, hostfile, droverd_);
  log(fmt::format("world {}: {}", generation, fmt::join(command, " ")));
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    ::sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
    ::setpgid(0, 0);  // signals for mpirun reach its helpers (ssh) too
    exec_mpirun(command);
  }
  ::setpgid(pid, pid);
  return pid;
}

Supervisor::Wake Supervisor::wait(milliseconds longest) {
  const auto deadline = Clock::now() + longest;
  for (;;) {
    if (world_ > 0 && reap()) return Wake::WorldEnded;
    // The `drover up` that started this and went away before the world was ready does not want it.
    if (!confirmed_ && !end_requested_) {
      pollfd pipe{ready_.get(), POLLIN, 0};
      if (::poll(&pipe, 1, 0) > 0 && !first_world_confirmed()) end_requested_ = true;
      if (end_requested_) return Wake::EndRequested;
    }
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return Wake::Timeout;
    if (!confirmed_) left = std::min(left, milliseconds(100));
    const timespec time{left.count() / 1000, left.count() % 1000 * 1'000'000};
    const int signal = ::sigtimedwait(&signals_, nullptr, &time);
    if (signal == SIGUSR1 || signal == SIGTERM || signal == SIGINT) {
      end_requested_ = true;
      return Wake::EndRequested;
    }
  }
}

bool Supervisor::reap() {
  bool ended = false;
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != world_) continue;
    last_end_ = describe_status(status);
    world_ = -1;
    ended = true;
  }
  return ended;
}

bool Supervisor::first_world_confirmed() {
  char byte = 0;  // the pipe does not block
  if (!confirmed_) confirmed_ = ::read(ready_.get(), &byte, 1) == 1;
  return confirmed_;
}

// The ranks were told to leave, or are to be ended; mpirun follows by itself, or is made to.
void Supervisor::end_world() {
  const auto ended_within = [this](Clock::duration time) {
    for (const auto deadline = Clock::now() + time; world_ > 0 && Clock::now() < deadline;)
      if (wait(std::chrono::ceil<milliseconds>(deadline - Clock::now())) == Wake::WorldEnded) return true;
    return world_ <= 0;
  };
  // After `drover down` the ranks are leaving; after a bare SIGTERM nobody has told them.
  const bool asked = ::access(down_request_file(paths_).c_str(), F_OK) == 0;
  if (asked && ended_within(kGrace)) return;
  if (asked) log("mpirun did not return; sending SIGTERM");
  if (world_ > 0) ::kill(-world_, SIGTERM);
  if (ended_within(kGrace)) return;
  log("mpirun ignored SIGTERM; sending SIGKILL");
  if (world_ > 0) ::kill(-world_, SIGKILL);
  ended_within(kGrace);
}

// False: worlds die at once, one after the other; a sixth would too.
bool Supervisor::give_up_or_back_off(Clock::duration lived) {
  quick_deaths_ = lived < kQuickDeath ? quick_deaths_ + 1 : 0;
  if (quick_deaths_ > kMostQuickDeaths) {
    log(fmt::format("{} worlds in a row lived less than {} s", quick_deaths_, kQuickDeath.count()));
    return false;
  }
  const auto pause = std::min<milliseconds>(kFirstBackOff * (1 << quick_deaths_), kLongestBackOff);
  wait(pause);
  return true;
}

}  // namespace drover
