#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "ckpt/image/fd_stream.h"
#include "ckpt/image/reader.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/tool/commands.h"
#include "ckpt/tool/timing.h"

namespace drover {

static int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

static int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return exit_code(status);
}

static UniqueFd open_image(const std::string& path) {
  if (path == "-") return UniqueFd(check(::dup(STDIN_FILENO), "dup", "standard input"));
  return UniqueFd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open", path));
}

// A file can be read twice: a damaged or truncated image is refused before the first process is made.
static void verify_first(int fd) {
  if (::lseek(fd, 0, SEEK_CUR) < 0) return;
  FdSource source(fd);
  ImageReader reader(source);
  while (reader.next().type != RecordType::End) {
  }
  check(::lseek(fd, 0, SEEK_SET), "lseek", "image");
}

// Restores and lets go. The process id, or 0 when the reason has been printed.
static pid_t restore_here(const RestoreArguments& arguments, int fd, bool child_of_parent) {
  Timing timing(arguments.timing);
  FdSource source(fd);
  RestoreOptions options;
  options.child_of_parent = child_of_parent;
  options.live = false;
  options.time_namespace = true;
  options.ipc_namespace = true;
  auto restored = restore(source, options);
  if (const auto* refusal = std::get_if<Refusal>(&restored)) {
    fmt::print(stderr, "drover-ckpt: can't restore: {}\n", refusal->reason);
    return 0;
  }
  timing.phase("restore");
  HeldTree& tree = std::get<HeldTree>(restored);
  const pid_t root = tree.root();
  const StillWaiting still = tree.resume();
  timing.phase("resume");
  return root;
}

// PID 1 of a namespace of the program's own: it has a worker restore beside it, and reaps until the program has ended.
static int run_init(const RestoreArguments& arguments, int fd) {
  check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private");
  check(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), "mount", "/proc");
  int answer[2];
  check(::pipe2(answer, O_CLOEXEC), "pipe");
  const pid_t worker = check(::fork(), "fork");
  if (worker == 0) {
    pid_t root = 0;
    try {
      root = restore_here(arguments, fd, true);
    } catch (const std::exception& error) {
      fmt::print(stderr, "drover-ckpt: {}\n", error.what());
    }
    ::_exit(::write(answer[1], &root, sizeof root) == sizeof root && root != 0 ? 0 : 1);
  }
  ::close(answer[1]);
  pid_t root = 0;
  if (::read(answer[0], &root, sizeof root) != sizeof root || root == 0) return 1;
  for (;;) {
    int status = 0;
    const pid_t ended = ::wait(&status);
    if (ended == root) return exit_code(status);
    if (ended < 0 && errno != EINTR) return 1;
  }
}

static void enter_namespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  const int user = uid == 0 ? 0 : CLONE_NEWUSER;
  check(::unshare(user | CLONE_NEWPID | CLONE_NEWNS), "unshare", "user, PID and mount namespaces");
  if (user == 0) return;
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/uid_map", fmt::format("{} {} 1", uid, uid));
  write_text("/proc/self/gid_map", fmt::format("{} {} 1", gid, gid));
}

static int restore_in_namespace(const RestoreArguments& arguments, int fd) {
  enter_namespaces();
  const pid_t init = check(::fork(), "fork");
  if (init == 0) {
    int code = 1;
    try {
      code = run_init(arguments, fd);
    } catch (const std::exception& error) {
      fmt::print(stderr, "drover-ckpt: {}\n", error.what());
    }
    ::_exit(code);
  }
  return arguments.detach ? 0 : wait_for(init);
}

// May this process choose process ids in its PID namespace? (clone3(2), set_tid: CAP_SYS_ADMIN or, since Linux 5.9,
// CAP_CHECKPOINT_RESTORE in the user namespace that owns it)
static bool may_choose_pids() { return ::geteuid() == 0; }

int run_restore(const RestoreArguments& arguments) {
  const UniqueFd image = open_image(arguments.image);
  verify_first(image.get());
  if (arguments.new_pid_namespace || !may_choose_pids()) return restore_in_namespace(arguments, image.get());
  const pid_t root = restore_here(arguments, image.get(), false);
  if (root == 0) return 1;
  return arguments.detach ? 0 : wait_for(root);
}

}  // namespace drover
