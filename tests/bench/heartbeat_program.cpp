#include "heartbeat_program.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <fstream>
#include <stdexcept>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

void pause_ms(long ms) {
  const timespec time{ms / 1000, ms % 1000 * 1'000'000};
  ::nanosleep(&time, nullptr);
}

std::string gap_line(int line) {
  std::ifstream file(kGap);
  std::string text;
  for (int i = 0; i <= line; ++i) std::getline(file, text);
  return file ? text : "";
}

void warm_memory() {
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    void* const memory = ::mmap(nullptr, 2 * kGib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::_exit(memory == MAP_FAILED || ::madvise(memory, 2 * kGib, MADV_POPULATE_WRITE) != 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) throw std::runtime_error("2 GiB of memory can't be had");
}

void become(uid_t user, gid_t group) {
  if (::geteuid() != user && (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(user) != 0))
    ::_exit(126);
}

pid_t start_heartbeat(const std::string& program, const Case& what, uid_t user, gid_t group) {
  ::unlink(kGap.c_str());
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    const UniqueFd null(::open("/dev/null", O_RDWR));
    for (int fd = 0; fd < 3; ++fd) ::dup2(null.get(), fd);
    ::close_range(3, ~0U, 0);
    if (user != 0) become(user, group);
    ::execl(program.c_str(), program.c_str(), kGap.c_str(), std::to_string(what.threads).c_str(),
            std::to_string(what.mib).c_str(), what.fill, nullptr);
    ::_exit(127);
  }
  while (gap_line(0) != "ready") {
    if (::waitpid(pid, nullptr, WNOHANG) == pid) throw std::runtime_error(program + " has ended at once");
    pause_ms(5);
  }
  if (what.mib != 0) warm_memory();
  pause_ms(50);
  ::kill(pid, SIGUSR2);
  pause_ms(50);
  return pid;
}

}  // namespace drover
