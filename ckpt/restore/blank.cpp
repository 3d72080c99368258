#include "ckpt/restore/blank.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>

#include "ckpt/freeze/tracee.h"
#include "ckpt/restore/freed_ids.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/uapi.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static_assert(kTraceOptions == (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                                PTRACE_O_EXITKILL));

static constexpr std::size_t kStubPageBytes = 4096;

// A program of nothing but zeroed memory at the wanted place: one segment, whose first page is the file's, since not
// all kernels map one without (load_elf_binary(), Linux < 6.7), and whole, so that none of it has to be cleared.
static UniqueFd make_stub_file(std::uint64_t address, std::size_t bytes) {
  int fd = ::memfd_create("drover-stub", MFD_CLOEXEC | uapi::kMemfdExec);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create("drover-stub", MFD_CLOEXEC);  // Linux < 6.3
  UniqueFd file(check(fd, "memfd_create"));
  struct {
    Elf64_Ehdr head;
    Elf64_Phdr memory, stack;
  } program{};
  std::memcpy(program.head.e_ident, ELFMAG, SELFMAG);
  program.head.e_ident[EI_CLASS] = ELFCLASS64;
  program.head.e_ident[EI_DATA] = ELFDATA2LSB;
  program.head.e_ident[EI_VERSION] = EV_CURRENT;
  program.head.e_type = ET_EXEC;
  program.head.e_machine = EM_X86_64;
  program.head.e_version = EV_CURRENT;
  program.head.e_entry = address;
  program.head.e_phoff = offsetof(decltype(program), memory);
  program.head.e_ehsize = sizeof program.head;
  program.head.e_phentsize = sizeof program.memory;
  program.head.e_phnum = 2;
  program.memory.p_type = PT_LOAD;
  program.memory.p_flags = PF_R | PF_W | PF_X;
  program.memory.p_vaddr = program.memory.p_paddr = address - kStubPageBytes;
  program.memory.p_filesz = kStubPageBytes;
  program.memory.p_memsz = kStubPageBytes + bytes;
  program.memory.p_align = kStubPageBytes;
  program.stack.p_type = PT_GNU_STACK;
  program.stack.p_flags = PF_R | PF_W;
  check(::write(file.get(), &program, sizeof program), "write", "stub");
  check(::ftruncate(file.get(), kStubPageBytes), "ftruncate", "stub");
  return file;
}

namespace {

// What the child is told. It shares our memory until it is the stub, which saves a copy of our page tables and a fault
// at each page of ours that is written afterwards. So it makes system calls only, past the C library: errno is ours.
struct StubStart {
  int first_fd;
  const int* inherit;
  int inherited;
  int go_read, go_write, stub;
  int first_free;
  bool keep_capabilities;
};

class ChildStack {
 public:
  static constexpr std::size_t kBytes = 16 * 1024;
  void* get() { return bytes_.get(); }
  void leave() { bytes_.release(); }

 private:
  std::unique_ptr<std::byte[]> bytes_ = std::make_unique_for_overwrite<std::byte[]>(kBytes);
};

}  // namespace

#define DROVER_CHILD __attribute__((no_sanitize("address", "thread", "undefined"), no_instrument_function))

DROVER_CHILD static inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}

DROVER_CHILD static inline long address_of(const void* pointer) { return reinterpret_cast<long>(pointer); }

// execve() drops all capabilities of a user other than root, except ambient ones (capabilities(7)); the process needs
// them to choose its thread ids, its program file and its credentials. They are dropped before it is let go.
DROVER_CHILD static void keep_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  call(SYS_capget, address_of(&header), address_of(data));
  for (int half = 0; half < 2; ++half) data[half].inheritable = data[half].permitted;
  call(SYS_capset, address_of(&header), address_of(data));
  for (long capability = 0; capability < 64; ++capability)
    if (call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability) == -EINVAL) break;  // there are no more
}

[[noreturn]] DROVER_CHILD static void leave() {
  for (;;) call(SYS_exit_group, 127);
}

[[noreturn]] DROVER_CHILD static void become_stub(const StubStart* start) {
  call(SYS_close, start->go_write);  // or the end of our process would not be seen
  char byte = 0;
  if (call(SYS_read, start->go_read, address_of(&byte), 1) != 1) leave();
  if (start->keep_capabilities) keep_capabilities();
  rlimit limit{};
  call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, address_of(&limit));
  limit.rlim_cur = limit.rlim_max;
  call(SYS_prlimit64, 0, RLIMIT_NOFILE, address_of(&limit));
  // First above everything that is open, then down to where they are wanted.
  int high = start->first_free;
  for (int i = 0; i < start->inherited; ++i) call(SYS_dup2, start->inherit[i], high++);
  call(SYS_dup2, start->stub, high);
  int fd = start->first_fd;
  for (int from = start->first_free; from <= high; ++from) call(SYS_dup3, from, fd++, from == high ? O_CLOEXEC : 0);
  const int last = fd - 1;
  if (start->first_fd > 0) call(SYS_close_range, 0, start->first_fd - 1);
  call(SYS_close_range, last + 1, static_cast<long>(~0U));
  const char* const arguments[] = {"drover-stub", nullptr};
  const char* const environment[] = {nullptr};
  call(SYS_execveat, last, address_of(""), address_of(arguments), address_of(environment), AT_EMPTY_PATH);
  leave();
}

static pid_t clone_with_pid(const BlankRequest& request, const StubStart& start, ChildStack& stack,
                            std::uint64_t flags) {
  pid_t wanted = request.pid;
  clone_args args{};
  args.flags = flags;
  // With CLONE_PARENT the exit signal is that of the caller's own thread group and must be 0 here (clone(2)).
  if (request.child_of_parent)
    args.flags |= CLONE_PARENT;
  else
    args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<std::uintptr_t>(&wanted);
  args.set_tid_size = 1;
  args.stack = reinterpret_cast<std::uintptr_t>(stack.get());
  args.stack_size = ChildStack::kBytes;
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %[start], %%rdi\n\t"
      "call *%[run]\n\t"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(&args), "S"(sizeof args), [run] "r"(become_stub), [start] "r"(&start)
      : "rcx", "r11", "memory", "cc");
  return static_cast<pid_t>(result);
}

// Whoever is not root, or has nothing of being root (capabilities(7), SECBIT_NOROOT), loses capabilities in execve().
static bool loses_capabilities() {
  return ::geteuid() != 0 || (::prctl(PR_GET_SECUREBITS) & (1 << SECURE_NOROOT)) != 0;
}

static void wait_for_exec(const Tracee& tracee) {
  while (tracee.wait().event() != PTRACE_EVENT_EXEC) tracee.resume(PTRACE_CONT);
  // This stop lies inside execve(), which would still set the result register: go on to the edge of user mode.
  tracee.interrupt();
  tracee.resume(PTRACE_CONT);
  while (!tracee.wait().interrupted()) tracee.resume(PTRACE_CONT);
}

void make_blank(const BlankRequest& request) {
  const UniqueFd stub = make_stub_file(request.memory, request.memory_bytes);
  int go[2];
  check(::pipe2(go, O_CLOEXEC), "pipe");
  const UniqueFd go_read(go[0]), go_write(go[1]);
  int first_free = request.first_fd + static_cast<int>(request.inherit.size()) + 1;
  for (const int fd : request.inherit) first_free = std::max(first_free, fd + 1);
  first_free = std::max({first_free, stub.get() + 1, go_read.get() + 1});
  const StubStart start{request.first_fd, request.inherit.data(), static_cast<int>(request.inherit.size()),
                        go_read.get(),    go_write.get(),         stub.get(),
                        first_free,       loses_capabilities()};
  ChildStack stack;
  // A handler of ours would run in the child on our memory.
  const std::uint64_t all = ~std::uint64_t{0};
  std::uint64_t mask = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof mask);
  const auto make = [&] {
    pid_t made = clone_with_pid(request, start, stack, CLONE_VM);
    // Before Linux 6.3 not into another time namespace (copy_process(), time_ns_for_children): a copy of our memory
    // then.
    if (made == -EINVAL) made = clone_with_pid(request, start, stack, 0);
    if (made < 0) throw SystemError("clone3 with process id", std::to_string(request.pid), -made);
    return made;
  };
  pid_t pid = -1;
  try {
    pid = with_freed_id(make);
  } catch (const SystemError&) {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
    throw;
  }
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
  const Tracee tracee(pid);
  try {
    if (const int error = tracee.seize(kTraceOptions)) throw SystemError("PTRACE_SEIZE", "blank process", error);
    check(::write(go_write.get(), "g", 1), "write", "blank process");
    wait_for_exec(tracee);
    tracee.set_signal_mask(mask);
  } catch (...) {
    ::kill(pid, SIGKILL);
    // A child of our parent that we don't trace: it may still run, so it keeps its stack.
    if (::waitpid(pid, nullptr, __WALL) < 0) stack.leave();
    throw;
  }
}

}  // namespace drover
