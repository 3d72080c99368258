#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "ckpt/image/fd_stream.h"
#include "ckpt/image/whole_file.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/high_ids.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/sys/working_memory.h"
#include "ckpt/tool/attend.h"
#include "ckpt/tool/beside.h"
#include "ckpt/tool/commands.h"
#include "ckpt/tool/timing.h"

namespace drover {

// A truncated file is refused before the first process is made. The rest of it is checked as it is read, which is once:
// each record before its first byte is used, and all of them before the program runs.
static UniqueFd open_image(const std::string& path) {
  if (path == "-") return UniqueFd(check(::dup(STDIN_FILENO), "dup", "standard input"));
  UniqueFd fd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open", path));
  struct stat file {};
  if (::fstat(fd.get(), &file) == 0 && S_ISREG(file.st_mode)) expect_whole_file(fd.get());
  return fd;
}

struct Restored {
  pid_t root = 0;     // 0: the reason has been printed
  UniqueFd terminal;  // the other side of the tree's terminal, if it has been given one
  StillWaiting still;
};

// Restores and lets go, as a child of our parent.
static Restored restore_here(const RestoreArguments& arguments, int fd) {
  Timing timing(arguments.timing);
  FdSource source(fd);
  RestoreOptions options;
  options.child_of_parent = true;
  options.terminal = !arguments.detach;
  options.live = false;
  options.time_namespace = true;
  options.ipc_namespace = true;
  options.truncate = arguments.truncate;
  auto restored = restore(source, options);
  if (const auto* refusal = std::get_if<Refusal>(&restored)) {
    const char* way_out = "";
    if (!refusal->differing.empty()) way_out = " (dump with --with-program or --with-file takes it along)";
    if (refusal->grown) way_out = " (--truncate cuts it back)";
    if (refusal->id_taken) way_out = " (--new-pid-namespace restores beside those that run here)";
    fmt::print(stderr, "drover-ckpt: can't restore: {}{}\n", refusal->reason, way_out);
    return {};
  }
  timing.phase("restore");
  HeldTree& tree = std::get<HeldTree>(restored);
  for (const std::string& note : tree.notes()) fmt::print(stderr, "drover-ckpt: note: {}\n", note);
  const pid_t root = tree.root();
  UniqueFd terminal = tree.take_terminal();
  StillWaiting still = tree.resume();
  timing.phase("resume");
  return {root, std::move(terminal), std::move(still)};
}

// What is made ready is waited for here. A restore needs a buffer and the state of threads, areas and files, which an
// image holds in about as many bytes.
static std::size_t working_memory_for(int fd) {
  constexpr std::size_t kLeast = std::size_t{256} << 10, kMost = std::size_t{1} << 20;
  struct stat file {};
  if (::fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return kMost;
  return std::clamp(static_cast<std::size_t>(file.st_size), kLeast, kMost);
}

static pid_t fork_aside() {
  HighIds ids;  // in a fresh namespace the next would be the second, which may be the program's
  const pid_t child = check(::fork(), "fork");
  if (child != 0) ids.leave_to_child();
  return child;
}

// A process beside us restores, because it may have to lead a session; then it stays until we end, since its end would
// hang the session's terminal up. Else it stays for the threads that need it still (beside.h), whatever becomes of us.
static Restored restore_beside(const RestoreArguments& arguments, int fd) {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t parent = ::getpid(), worker = fork_aside();
  if (worker == 0) {
    int code = 1;
    try {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      prepare_working_memory(working_memory_for(fd), Readiness::There);
      Restored restored = restore_here(arguments, fd);
      code = send_terminal(theirs.get(), restored.root, restored.terminal.get()) && restored.root != 0 ? 0 : 1;
      const bool stays = static_cast<bool>(restored.terminal);
      restored.terminal.reset();  // who waits for the tree hangs it up
      theirs.reset();
      if (!stays) {
        ::prctl(PR_SET_PDEATHSIG, 0);
        leave_terminal();
      }
      restored.still.lingering.wait();
      if (stays && ::getppid() == parent) ::pause();
    } catch (const std::exception& error) {
      fmt::print(stderr, "drover-ckpt: {}\n", error.what());
    }
    ::_exit(code);
  }
  theirs.reset();
  Restored restored;
  restored.terminal = receive_terminal(ours.get(), restored.root);
  return restored;
}

// PID 1 of a namespace of the program's own: it has a worker restore beside it, and reaps until the program has ended.
static int run_init(const RestoreArguments& arguments, int fd, UniqueFd running) {
  check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private");
  check(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), "mount", "/proc");
  if (::access("/dev/pts", F_OK) == 0)  // terminals keep their numbers
    check(::mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
          "mount", "/dev/pts");
  Restored restored = restore_beside(arguments, fd);
  if (restored.root == 0 || ::write(running.get(), "r", 1) != 1) return 1;
  running.reset();
  if (arguments.detach) leave_terminal();
  return attend(restored.root, std::move(restored.terminal));
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
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "pipe");
  const UniqueFd told(ends[0]);
  UniqueFd running(ends[1]);
  const pid_t init = check(::fork(), "fork");
  if (init == 0) {
    int code = 1;
    try {
      // Who restores in the foreground is to the tree what a terminal is.
      if (!arguments.detach) ::prctl(PR_SET_PDEATHSIG, SIGHUP);
      code = run_init(arguments, fd, std::move(running));
    } catch (const std::exception& error) {
      fmt::print(stderr, "drover-ckpt: {}\n", error.what());
    }
    ::_exit(code);
  }
  running.reset();
  char byte = 0;
  if (arguments.detach && ::read(told.get(), &byte, 1) == 1) return 0;
  return attend(init, {});
}

static bool has_capability(unsigned which) {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  return ::syscall(SYS_capget, &head, data) == 0 && (data[which / 32].effective >> which % 32 & 1) != 0;
}

// Process ids can be chosen with CAP_CHECKPOINT_RESTORE, too (clone3(2), set_tid, Linux >= 5.9), but the program's
// clocks take a time namespace, and that CAP_SYS_ADMIN, and its offsets CAP_SYS_TIME (timens_offsets_write()): who
// lacks these gets both in a namespace of its own only.
static bool may_restore_here() {
  return ::geteuid() == 0 || (has_capability(CAP_SYS_ADMIN) && has_capability(CAP_SYS_TIME));
}

int run_restore(const RestoreArguments& arguments) {
  const UniqueFd image = open_image(arguments.image);
  block_signals();
  if (arguments.new_pid_namespace || !may_restore_here()) return restore_in_namespace(arguments, image.get());
  Restored restored = restore_beside(arguments, image.get());
  if (restored.root == 0) return 1;
  return arguments.detach ? 0 : attend(restored.root, std::move(restored.terminal));
}

}  // namespace drover
