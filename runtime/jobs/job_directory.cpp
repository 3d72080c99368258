#include "runtime/jobs/job_directory.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "ckpt/sys/error.h"

namespace drover {

std::int64_t make_job_dir(const std::string& jobs_dir, std::int64_t from) {
  for (std::int64_t id = from;; ++id) {
    const std::string dir = fmt::format("{}/{}", jobs_dir, id);
    if (::mkdir(dir.c_str(), 0700) == 0) return id;
    if (errno != EEXIST) throw SystemError("mkdir", dir, errno);
  }
}

}  // namespace drover
