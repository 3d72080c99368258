#include "ckpt/restore/run_as.h"

#include <linux/sched.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "ckpt/sys/error.h"

namespace drover {

static pid_t make_child(pid_t wanted) {
  clone_args args{};
  args.flags = CLONE_FILES;
  args.exit_signal = SIGCHLD;
  args.set_tid = wanted > 0 ? reinterpret_cast<std::uintptr_t>(&wanted) : 0;
  args.set_tid_size = wanted > 0 ? 1 : 0;
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

// Only the effective ids are remembered; files are still found as ourselves. Where there is no such user (in a user
// namespace that has only ours) it is one whom nobody could tell from ours.
static void become(const SocketUser& user) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (user.gid != gid && ::setresgid(~0U, user.gid, ~0U) == 0) ::setfsgid(gid);
  if (user.uid != uid && ::setresuid(~0U, user.uid, ~0U) == 0) ::setfsuid(uid);
}

static int act(const Actor& actor, const std::function<int()>& work) {
  if (!actor.root.empty() && (::chroot(actor.root.c_str()) != 0 || ::chdir(actor.folder.c_str()) != 0)) return errno;
  if (actor.user.pid > 0) become(actor.user);
  return work();
}

int run_as(const Actor& actor, const std::function<int()>& work) {
  pid_t child = make_child(actor.user.pid);
  if (child < 0) child = make_child(0);
  check(child, "clone3", "helper");
  if (child == 0) {
    int result = EIO;
    try {
      result = act(actor, work);
    } catch (...) {  // the parent's stack is not ours to unwind
    }
    ::_exit(result);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw SystemError("wait for", "helper", errno);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

}  // namespace drover
