#include "ckpt/sys/high_ids.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// Of the namespace of whoever writes it (pid_ns_ctl_handler()); Linux >= 3.3 with CONFIG_CHECKPOINT_RESTORE.
static constexpr const char* kLastId = "/proc/sys/kernel/ns_last_pid";

static bool is_initial_namespace() {
  char name[64];
  const ssize_t n = ::readlink("/proc/self/ns/pid", name, sizeof name);
  return n > 0 && std::string_view(name, static_cast<std::size_t>(n)) == "pid:[4026531836]";  // PROC_PID_INIT_INO
}

static bool try_write(const std::string& text) {
  const UniqueFd file(::open(kLastId, O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

HighIds::HighIds() {
  if (is_initial_namespace()) return;
  const auto before = try_read_text(kLastId), highest = try_read_text("/proc/sys/kernel/pid_max");
  if (!before || !highest) return;
  const long last = std::atol(highest->c_str());
  if (try_write(std::to_string(std::max(last - 1000, last / 2)))) before_ = *before;
}

HighIds::~HighIds() {
  if (!before_.empty()) try_write(before_);
}

}  // namespace drover
