#include "ckpt/freeze/vfork.h"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "ckpt/freeze/wait_page.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"

namespace drover {

static bool is_call_of_vfork(std::string_view number) {
  const auto call = to_signed(number);
  return call && (*call == SYS_vfork || *call == SYS_clone || *call == SYS_clone3);
}

bool has_runner(const RemoteMemory& memory, std::uint64_t page) {
  std::vector<std::byte> code(runner_code().size());
  return memory.try_read(page, code) && std::ranges::equal(code, runner_code());
}

// The youngest of its own children that has its memory, as the sleeper has made none since.
pid_t find_vfork_child(pid_t process, pid_t tid) {
  const auto call = try_read_text(fmt::format("/proc/{}/task/{}/syscall", process, tid));
  std::string_view rest = call ? *call : std::string_view();
  if (!is_call_of_vfork(next_word(rest))) return 0;
  const auto text = try_read_text(fmt::format("/proc/{}/task/{}/children", process, tid));
  const auto children = parse_children(text ? *text : std::string_view());
  const auto found = std::find_if(children.rbegin(), children.rend(), [tid](pid_t child) {
    return ::syscall(SYS_kcmp, tid, task_of(child), KCMP_VM, 0, 0) == 0;
  });
  return found != children.rend() ? *found : 0;
}

std::optional<VforkWait> find_vfork_wait(const FrozenProcess& process, const FrozenThread& thread) {
  const std::uint64_t page = thread.present.rip & ~(RemoteArea::kPageBytes - 1);
  if (thread.present.r13 != 0 || thread.present.rsp != page + offsetof(WaitPage, parent_onto_stack) + kRegisters ||
      !has_runner(process.memory, page))
    return std::nullopt;
  const auto home = process.memory.load<WayHome>(page + offsetof(WaitPage, parent_home));
  return VforkWait{home.registers, home.mask};
}

}  // namespace drover
