// A dumper that was killed can leave a thread in its runner, with all signals blocked but the one that ends a batch,
// and that one pending. The next dump must not take SIGTRAP for its own batches instead: if it were killed, too, that
// would be the program's end.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <variant>

#include "ckpt/dump/dump.h"
#include "ckpt/freeze/batch.h"
#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/freeze/tree.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

using namespace drover;

namespace {

// As if a dumper had set this thread off on one call, which lasts until we are killed.
[[noreturn]] void run_runner() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  static Batch::Call call{{SYS_pause}};
  const int nowhere = ::open("/dev/null", O_RDWR);  // what we have may keep it from being dumped
  for (const int fd : {0, 1, 2}) ::dup2(nowhere, fd);
  ::close_range(3, ~0U, 0);
  void* page =
      ::mmap(nullptr, RemoteArea::kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto code = runner_code();
  std::copy(code.begin(), code.end(), static_cast<std::byte*>(page));
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  const Batch::Call* first = &call;
  asm volatile("mov %0, %%rbx; mov $1, %%r12; mov %1, %%r13; jmp *%2"
               :
               : "r"(first), "r"(std::uint64_t{SIGURG}), "r"(page)
               : "rbx", "r12", "r13", "memory");
  __builtin_unreachable();
}

bool pauses(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "syscall"));
  return text && text->starts_with(std::to_string(SYS_pause) + " ");
}

}  // namespace

int main() {
  const pid_t pid = ::fork();
  if (pid == 0) run_runner();
  bool alive = true;
  while (alive && !pauses(pid)) {
    ::usleep(1000);
    alive = ::waitpid(pid, nullptr, WNOHANG) == 0;
  }
  std::string outcome = "dumped";
  try {
    auto frozen = FrozenTree::freeze(pid);
    if (auto* tree = std::get_if<FrozenTree>(&frozen)) {
      const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
      FdSink sink(nowhere.get());
      const DumpResult result = dump(*tree, sink, {});
      if (result.refused) outcome = result.refused->reason;
    } else {
      outcome = std::get<Refusal>(frozen).reason;
    }
  } catch (const SystemError& error) {
    outcome = error.error() == EAGAIN ? "again" : error.what();
  }
  alive = alive && ::waitpid(pid, nullptr, WNOHANG) == 0;
  if (alive) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  std::printf("%s, the program is %s\n", outcome.c_str(), alive ? "alive" : "gone");
  return outcome == "again" && alive ? 0 : 1;
}
