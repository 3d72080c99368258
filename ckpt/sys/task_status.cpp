#include "ckpt/sys/task_status.h"

#include "ckpt/sys/text.h"

namespace drover {

template <class Id>
static void parse_four(std::string_view rest, std::array<Id, 4>& ids) {
  for (auto& id : ids) id = static_cast<Id>(to_number(next_word(rest)).value_or(0));
}

template <class Id>
static std::vector<Id> parse_list(std::string_view rest) {
  std::vector<Id> ids;
  while (const auto id = to_number(next_word(rest))) ids.push_back(static_cast<Id>(*id));
  return ids;
}

// Fields whose value is a mask in hexadecimal; null if `key` is not one of them.
static std::uint64_t* mask_field(TaskStatus& status, std::string_view key) {
  if (key == "SigPnd:") return &status.pending;
  if (key == "ShdPnd:") return &status.shared_pending;
  if (key == "SigBlk:") return &status.blocked;
  if (key == "SigIgn:") return &status.ignored;
  if (key == "SigCgt:") return &status.caught;
  if (key == "CapInh:") return &status.cap_inheritable;
  if (key == "CapPrm:") return &status.cap_permitted;
  if (key == "CapEff:") return &status.cap_effective;
  if (key == "CapBnd:") return &status.cap_bounding;
  if (key == "CapAmb:") return &status.cap_ambient;
  return nullptr;
}

TaskStatus parse_task_status(std::string_view text) {
  TaskStatus status;
  for (std::string_view line; next_line(text, line);) {
    // Most lines are of no interest, and there is one of these for each of many threads.
    if (line.empty() || std::string_view("CGNSTU").find(line.front()) == std::string_view::npos) continue;
    const auto key = next_word(line);
    std::string_view rest = line;
    const auto number = [&](int base = 10) { return to_number(next_word(rest), base).value_or(0); };
    if (auto* mask = mask_field(status, key))
      *mask = number(16);
    else if (key == "Uid:")
      parse_four(rest, status.uid);
    else if (key == "Gid:")
      parse_four(rest, status.gid);
    else if (key == "Groups:")
      status.groups = parse_list<gid_t>(rest);
    else if (key == "NSpid:")
      status.namespace_pids = parse_list<pid_t>(rest);
    else if (key == "Umask:")
      status.umask = static_cast<unsigned>(number(8));
    else if (key == "Threads:")
      status.threads = static_cast<unsigned>(number());
    else if (key == "TracerPid:")
      status.tracer = static_cast<pid_t>(number());
    else if (key == "NoNewPrivs:")
      status.no_new_privs = number() != 0;
    else if (key == "Seccomp:")
      status.seccomp = static_cast<int>(number());
    else if (key == "THP_enabled:")
      status.thp_enabled = number() != 0;
  }
  return status;
}

}  // namespace drover
