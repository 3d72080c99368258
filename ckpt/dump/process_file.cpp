#include "ckpt/dump/process_file.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "ckpt/dump/obstacles.h"
#include "ckpt/sys/text.h"

namespace drover {

static constexpr std::string_view kProc = "/proc/";

static std::string_view digits_of(std::string_view text) {
  const auto end = std::find_if_not(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return text.substr(0, static_cast<std::size_t>(end - text.begin()));
}

std::optional<pid_t> process_of_file(const Descriptor& d) {
  const std::string_view path = d.link;
  if (path.substr(0, kProc.size()) != kProc) return std::nullopt;
  const std::string_view digits = digits_of(path.substr(kProc.size()));
  const std::string_view rest = path.substr(kProc.size() + digits.size());
  if (digits.empty() || (!rest.empty() && rest[0] != '/' && rest[0] != ' ')) return std::nullopt;
  struct statfs fs {};
  const bool known = ::statfs(proc_path(d.process, fmt::format("fd/{}", d.fd)).c_str(), &fs) == 0;
  if (!known || fs.f_type != PROC_SUPER_MAGIC) return std::nullopt;
  return static_cast<pid_t>(to_number(digits).value_or(0));
}

std::optional<Refusal> find_process_file_obstacle(const Descriptor& d, pid_t process) {
  const auto refuse = [&](const char* why) {
    return Refusal{fmt::format("holds {}, {}, {}", d.link, why, d.name()), true};
  };
  if (without_deleted(d.link)) return refuse("of a process that has ended");
  const std::string_view path = d.link;
  const std::string_view rest = path.substr(kProc.size() + digits_of(path.substr(kProc.size())).size());
  constexpr std::string_view kTask = "/task/", kDescriptor = "/fdinfo/", kArea = "/map_files/";
  if (rest.substr(0, kTask.size()) == kTask && digits_of(rest.substr(kTask.size())) != std::to_string(process))
    return refuse("of a thread");
  if (rest.substr(0, kDescriptor.size()) == kDescriptor) return refuse("of a descriptor");
  if (rest.substr(0, kArea.size()) == kArea) return refuse("of an area of memory");
  return std::nullopt;
}

}  // namespace drover
