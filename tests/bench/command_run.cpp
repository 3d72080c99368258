#include "command_run.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string_view>

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

struct User {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
};

// Not by getpwnam(3), for which a static program needs shared libraries.
User ordinary_user() {
  if (::geteuid() != 0) return {};
  const std::unique_ptr<FILE, int (*)(FILE*)> users(std::fopen("/etc/passwd", "re"), &std::fclose);
  while (const passwd* user = users ? ::fgetpwent(users.get()) : nullptr)
    if (std::string_view(user->pw_name) == "nobody") return {user->pw_uid, user->pw_gid};
  throw std::runtime_error("there is no ordinary user to run as");
}

void wait_for(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

void run_with_commands(const std::string& heartbeat, const std::string& drover_ckpt, const Case& what) {
  const User user = ordinary_user();
  Copies copies;
  const std::string program = copies.add(heartbeat), ckpt = copies.add(drover_ckpt);
  check(::prctl(PR_SET_CHILD_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER");  // the init of the new namespace comes to us
  const pid_t pid = start_heartbeat(program, what, user.uid, user.gid);
  const std::string line =
      fmt::format("{0} dump {1} {2} && exec {0} restore --detach --new-pid-namespace {2}", ckpt, pid, kImage);
  const pid_t shell = check(::fork(), "fork");
  if (shell == 0) {
    become(user.uid, user.gid);
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
