// unstopped VFORK-PARENTS: a parent in vfork(2) that a refused freeze has asked to stop does so later, when its child
// is gone. Whoever freezes the tree again must find it as its own, before and after that.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <variant>

#include "ckpt/freeze/tree.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

using namespace drover;

namespace {

struct Program {
  pid_t pid;
  UniqueFd output;

  explicit Program(const char* path) {
    int ends[2];
    check(::pipe2(ends, O_CLOEXEC), "pipe");
    output.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    pid = check(::fork(), "fork");
    if (pid != 0) return;
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(path, path, "7", nullptr);  // a child that wants a signal at its parent's end: refused
    ::_exit(127);
  }

  bool says(const std::string& line) {
    std::string said;
    for (char byte = 0; ::read(output.get(), &byte, 1) == 1 && byte != '\n';) said += byte;
    return said == line;
  }
};

std::string try_to_freeze(pid_t pid, StillWaiting& still) {
  auto frozen = FrozenTree::freeze(pid, &still);
  if (const auto* refusal = std::get_if<Refusal>(&frozen)) return refusal->reason;
  still = std::get<FrozenTree>(frozen).thaw();
  return "";
}

char state_of(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "stat"));
  return text ? parse_task_stat(*text).state : 'X';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Program program(argv[1]);
  bool right = program.says("ready");
  const auto expect = [&right](bool holds, const char* what, const std::string& found) {
    if (holds) return;
    std::printf("%s: %s\n", what, found.c_str());
    right = false;
  };
  const auto children = list_children(program.pid);
  expect(children.size() == 1, "the program has other children", std::to_string(children.size()));
  StillWaiting still;
  for (const char* what : {"the first freeze", "the second freeze"}) {
    const std::string reason = try_to_freeze(program.pid, still);
    expect(reason.find("wants a signal at its parent's end") != std::string::npos, what, reason);
  }
  expect(right && state_of(children.front()) == 'D', "the parent does not wait in vfork()", "");
  ::kill(program.pid, SIGUSR1);
  for (int i = 0; right && i < 60'000 && state_of(children.front()) != 't'; ++i) ::usleep(1000);
  expect(right && state_of(children.front()) == 't', "the parent has not stopped after vfork()", "");
  const std::string reason = try_to_freeze(program.pid, still);
  // What had stopped goes on at once, and may have ended before anybody stops it again.
  expect(reason.empty() || reason.starts_with("there is no process"), "the third freeze", reason);
  if (!right) ::kill(-program.pid, SIGKILL);
  expect(program.says("passed"), "the program has not passed", "");
  int status = 0;
  ::waitpid(program.pid, &status, 0);
  expect(status == 0, "the program ended", std::to_string(status));
  if (right) std::puts("refused twice, and gone on");
  return right ? 0 : 1;
}
