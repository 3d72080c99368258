#include "ckpt/restore/blank.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>

#include "ckpt/freeze/tracee.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/uapi.h"
#include "ckpt/sys/unique_fd.h"

extern "C" const std::byte drover_stub_begin[], drover_stub_end[];

namespace drover {

static_assert(kTraceOptions == (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                                PTRACE_O_EXITKILL));

static UniqueFd make_stub_file() {
  int fd = ::memfd_create("drover-stub", MFD_CLOEXEC | uapi::kMemfdExec);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create("drover-stub", MFD_CLOEXEC);  // Linux < 6.3
  UniqueFd file(check(fd, "memfd_create"));
  const auto bytes = static_cast<std::size_t>(drover_stub_end - drover_stub_begin);
  check(::write(file.get(), drover_stub_begin, bytes), "write", "stub");
  return file;
}

// execve() drops all capabilities of a user other than root, except ambient ones (capabilities(7)); the process needs
// them to choose its thread ids, its program file and its credentials. They are dropped before it is let go.
static void keep_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  ::syscall(SYS_capget, &header, data);
  for (auto& half : data) half.inheritable = half.permitted;
  ::syscall(SYS_capset, &header, data);
  for (int capability = 0; capability < 64; ++capability)
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

// Runs in the child, a copy of this process: system calls only.
[[noreturn]] static void become_stub(const BlankRequest& request, int go, int stub, int first_free) {
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(127);
  keep_capabilities();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  // First above everything that is open, then down to where they are wanted.
  int high = first_free;
  for (const int fd : request.inherit) ::dup2(fd, high++);
  ::dup2(stub, high);
  int fd = request.first_fd;
  for (int from = first_free; from <= high; ++from) ::dup3(from, fd++, from == high ? O_CLOEXEC : 0);
  const auto last = static_cast<unsigned>(fd - 1);
  if (request.first_fd > 0) ::syscall(SYS_close_range, 0U, static_cast<unsigned>(request.first_fd - 1), 0U);
  ::syscall(SYS_close_range, last + 1, ~0U, 0U);
  const char* const arguments[] = {"drover-stub", nullptr};
  const char* const environment[] = {nullptr};
  ::syscall(SYS_execveat, last, "", arguments, environment, AT_EMPTY_PATH);
  ::_exit(127);
}

static pid_t clone_with_pid(const BlankRequest& request) {
  pid_t wanted = request.pid;
  clone_args args{};
  // With CLONE_PARENT the exit signal is that of the caller's own thread group and must be 0 here (clone(2)).
  if (request.child_of_parent)
    args.flags = CLONE_PARENT;
  else
    args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<std::uintptr_t>(&wanted);
  args.set_tid_size = 1;
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

static void wait_for_exec(const Tracee& tracee) {
  while (tracee.wait().event() != PTRACE_EVENT_EXEC) tracee.resume(PTRACE_CONT);
  // This stop lies inside execve(), which would still set the result register: go on to the edge of user mode.
  tracee.interrupt();
  tracee.resume(PTRACE_CONT);
  while (!tracee.wait().interrupted()) tracee.resume(PTRACE_CONT);
}

void make_blank(const BlankRequest& request) {
  const UniqueFd stub = make_stub_file();
  int go[2];
  check(::pipe2(go, O_CLOEXEC), "pipe");
  const UniqueFd go_read(go[0]), go_write(go[1]);
  int first_free = request.first_fd + static_cast<int>(request.inherit.size()) + 1;
  for (const int fd : request.inherit) first_free = std::max(first_free, fd + 1);
  first_free = std::max({first_free, stub.get() + 1, go_read.get() + 1});
  const pid_t pid = clone_with_pid(request);
  if (pid == 0) become_stub(request, go_read.get(), stub.get(), first_free);
  check(pid, "clone3 with process id", std::to_string(request.pid));
  const Tracee tracee(pid);
  try {
    if (const int error = tracee.seize(kTraceOptions)) throw SystemError("PTRACE_SEIZE", "blank process", error);
    check(::write(go_write.get(), "g", 1), "write", "blank process");
    wait_for_exec(tracee);
  } catch (...) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, __WALL);
    throw;
  }
}

}  // namespace drover
