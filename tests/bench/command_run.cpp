#include "command_run.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "ckpt/sys/error.h"

namespace drover {

namespace fs = std::filesystem;

namespace {

class Copies {
 public:
  Copies() {
    char name[] = "/var/tmp/drover-bench-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw SystemError("mkdtemp", name, errno);
    path_ = name;
    fs::permissions(path_, fs::perms::owner_all | fs::perms::others_exec | fs::perms::others_read);
  }
  ~Copies() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string add(const fs::path& program) {
    fs::copy_file(program, path_ / program.filename());
    return path_ / program.filename();
  }

 private:
  fs::path path_;
};

pid_t first_child(pid_t pid) {
  pid_t child = 0;
  std::ifstream(fmt::format("/proc/{0}/task/{0}/children", pid)) >> child;
  return child;
}

void wait_for(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

void run_with_commands(const std::string& heartbeat, const std::string& drover_ckpt, const Case& what) {
  const passwd* const user = ::geteuid() == 0 ? ::getpwnam("nobody") : ::getpwuid(::geteuid());
  if (user == nullptr) throw std::runtime_error("there is no ordinary user to run as");
  Copies copies;
  const std::string program = copies.add(heartbeat), ckpt = copies.add(drover_ckpt);
  check(::prctl(PR_SET_CHILD_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER");  // the init of the new namespace comes to us
  const pid_t pid = start_heartbeat(program, what, user->pw_uid, user->pw_gid);
  const std::string line =
      fmt::format("{0} dump {1} {2} && exec {0} restore --detach --new-pid-namespace {2}", ckpt, pid, kImage);
  const pid_t shell = check(::fork(), "fork");
  if (shell == 0) {
    become(user->pw_uid, user->pw_gid);
    ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  check(::waitpid(shell, &status, 0), "waitpid");
  wait_for(pid);
  if (status != 0) throw std::runtime_error("the commands have failed");
  pause_ms(20);
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {  // the commands' processes beside come to us, too
  }
  const pid_t init = first_child(::getpid()), restored = init == 0 ? 0 : first_child(init);
  if (restored == 0) throw std::runtime_error("nothing has been restored");
  ::kill(restored, SIGUSR1);
  wait_for(init);
}

}  // namespace drover
