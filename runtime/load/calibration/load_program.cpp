#include "runtime/load/calibration/load_program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <new>
#include <string>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

[[noreturn]] void run_child(const std::function<void()>& body, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  ::prctl(PR_SET_NAME, "drover-load");
  // Whoever presses Ctrl-C means the parent too, which ends this child when it has read why.
  for (const int signo : {SIGINT, SIGTERM, SIGHUP}) ::signal(signo, SIG_IGN);
  if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    [[maybe_unused]] const ssize_t ignored = ::write(fd, "1000", 4);
    ::close(fd);
  }
  try {
    body();
  } catch (const std::exception&) {  // shown by the probe's count, or the factor's value
  }
  ::_exit(1);
}

}  // namespace

Interruptible::Interruptible() {
  ::sigemptyset(&set_);
  for (const int signo : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set_, signo);
  ::sigprocmask(SIG_BLOCK, &set_, &old_);
}

Interruptible::~Interruptible() { ::sigprocmask(SIG_SETMASK, &old_, nullptr); }

void Interruptible::sleep(std::chrono::nanoseconds longest) const {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + longest;
  for (;;) {
    const auto left = std::max<std::int64_t>(0, std::chrono::nanoseconds(end - Clock::now()).count());
    const timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
    const int signo = ::sigtimedwait(&set_, nullptr, &timeout);
    if (signo > 0) throw Interrupted{signo};
    if (errno == EAGAIN) return;  // EINTR: another signal's handler ran
  }
}

LoadProgram::LoadProgram(const std::function<void()>& body) {
  const pid_t parent = ::getpid();
  pid_ = check(::fork(), "fork", "a load program");
  if (pid_ == 0) run_child(body, parent);
}

LoadProgram::~LoadProgram() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

double LoadProgram::cpu_seconds() const {
  clockid_t clock{};
  timespec used{};
  if (pid_ <= 0 || ::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

bool LoadProgram::alive() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
  return pid_ > 0;
}

SharedCounter::SharedCounter() {
  void* page = ::mmap(nullptr, sizeof(*counter_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw SystemError("mmap", "a shared counter", errno);
  counter_ = new (page) std::atomic<std::uint64_t>(0);
}

SharedCounter::~SharedCounter() { ::munmap(counter_, sizeof(*counter_)); }

UniqueFd nameless_file(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  // NFS and some others have no O_TMPFILE (open(2)).
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) throw SystemError("make a file in", directory, errno);
  std::string name = directory + "/drover-calibrate-XXXXXX";
  UniqueFd named(check(::mkostemp(name.data(), O_CLOEXEC), "make a file in", directory));
  ::unlink(name.c_str());
  return named;
}

}  // namespace drover
