// What an image in a file tells of the job that it was made of, so that a job can be made again: its spec, and the
// names that its streams had.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/jobs/spec.h"

namespace drover {

struct CheckpointRecord {
  std::int64_t job = 0;
  std::string origin;
  // Without environment and limits, which are the processes' own. Paths are real ones, and no patterns; empty where the
  // job's output was kept in the state directory, or went to a launcher.
  JobSpec spec;
};

std::string pack_record(const CheckpointRecord& record);
// Throws std::invalid_argument.
CheckpointRecord unpack_record(const std::string& text);

// Reads the image in `path` up to its end and checks all of it. Throws std::runtime_error with what is wrong with it;
// blocks as long as that takes.
CheckpointRecord read_checkpoint(const std::string& path);

}  // namespace drover
