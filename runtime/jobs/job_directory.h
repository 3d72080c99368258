// A job's own directory in the state directory, whose name is the job's id.
#pragma once

#include <cstdint>
#include <string>

namespace drover {

// Makes one with the first free number from `from` on: mkdir(2) on the shared directory is the arbiter between nodes.
// Throws SystemError.
std::int64_t make_job_dir(const std::string& jobs_dir, std::int64_t from);

}  // namespace drover
