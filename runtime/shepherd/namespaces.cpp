#include "runtime/shepherd/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover::shepherd {

namespace {

void write_file(const char* path, const std::string& text) {
  const UniqueFd fd(check(::open(path, O_WRONLY | O_CLOEXEC), "open", path));
  check(::write(fd.get(), text.data(), text.size()), "write", path);
}

// One line maps the user to himself. An unprivileged map of a group needs setgroups denied first (user_namespaces(7)).
void map_user(uid_t uid, gid_t gid) {
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", fmt::format("{} {} 1", uid, uid));
  write_file("/proc/self/gid_map", fmt::format("{} {} 1", gid, gid));
}

void mount_own_proc() {
  // Slave, not private: file systems that the host mounts later (automounted homes) still appear in running jobs.
  check(::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr), "mount --make-rslave", "/");
  check(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), "mount proc", "/proc");
}

// Terminals that the job makes keep their numbers when it moves. /dev/ptmx finds the devpts beside it (Linux >= 4.7).
// Without gid=5, which an ordinary user's namespace does not have.
void mount_own_terminals() {
  if (::access("/dev/pts", F_OK) != 0) return;
  check(::mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
        "mount devpts", "/dev/pts");
}

pid_t clone_with(std::uint64_t flags) {
  clone_args args{};
  args.flags = flags;
  args.exit_signal = SIGCHLD;
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

}  // namespace

pid_t fork_into_namespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  // Root keeps the host's user namespace: a map of one user would take away chown, setuid and other users' files.
  const bool own_users = uid != 0;
  const pid_t pid = clone_with(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | (own_users ? CLONE_NEWUSER : 0));
  if (pid < 0) return -errno;
  if (pid > 0) return pid;
  if (own_users) map_user(uid, gid);
  mount_own_proc();
  mount_own_terminals();
  return 0;
}

pid_t fork_plain() {
  const pid_t pid = ::fork();
  if (pid < 0) return -errno;
  if (pid == 0) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  return pid;
}

pid_t fork_aside(bool namespaces) {
  if (!namespaces) return check(::fork(), "fork");
  std::ifstream file("/proc/sys/kernel/pid_max");
  pid_t highest = 32768;
  file >> highest;
  for (pid_t wanted = highest - 1;; --wanted) {
    clone_args args{};
    args.exit_signal = SIGCHLD;
    args.set_tid = reinterpret_cast<std::uint64_t>(&wanted);
    args.set_tid_size = 1;
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
    if (pid >= 0) return pid;
    if (errno != EEXIST) throw SystemError("clone3 set_tid", std::to_string(wanted), errno);
  }
}

namespace {
// Runs as PID 1 of fresh namespaces.
int try_chosen_pid() {
  clone_args args{};
  const pid_t wanted = 4242;
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<std::uint64_t>(&wanted);
  args.set_tid_size = 1;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) ::_exit(0);
  if (pid < 0) return 2;
  int status = 0;
  ::waitpid(static_cast<pid_t>(pid), &status, 0);
  return pid == wanted ? 0 : 2;
}
}  // namespace

std::optional<std::string> probe_namespaces() {
  pid_t pid = 0;
  try {
    pid = fork_into_namespaces();
    if (pid == 0) ::_exit(try_chosen_pid());
  } catch (const std::exception& error) {
    ::_exit(1);  // only the child can throw
  }
  if (pid < 0) return fmt::format("new namespaces: {}", error_text(-pid));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
    return "a process can't be given a chosen PID in a namespace of its own";
  return "a private /proc can't be mounted in namespaces of one's own";
}

}  // namespace drover::shepherd
