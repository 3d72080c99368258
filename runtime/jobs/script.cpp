#include "runtime/jobs/script.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <string_view>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/control/client_message.h"

namespace drover {

void check_script(const JobSpec& spec) {
  if (spec.script.empty()) return;
  if (spec.script.rfind("#!", 0) != 0)
    throw std::invalid_argument("the script does not begin with #! and an interpreter, such as #!/bin/sh");
  if (spec.script.size() > kMaxScriptBytes)
    throw std::invalid_argument(fmt::format("the script has more than {} MiB", kMaxScriptBytes >> 20));
}

std::string script_path(const std::string& job_dir) { return job_dir + "/script"; }

void keep_script(JobSpec& spec, const std::string& job_dir) {
  if (spec.script.empty()) return;
  const std::string path = script_path(job_dir);
  {
    const UniqueFd fd(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700), "create", path));
    check(::fchmod(fd.get(), 0700), "chmod", path);  // whatever droverd's umask
    for (std::string_view left = spec.script; !left.empty();)
      left.remove_prefix(static_cast<std::size_t>(check(::write(fd.get(), left.data(), left.size()), "write", path)));
  }
  spec.argv[0] = path;
  spec.script.clear();
}

}  // namespace drover
