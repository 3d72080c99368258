// Arrays: one submission, and a job for each of its indices. The tasks are made as places come free, so that an array
// of ten thousand takes no more memory and no longer a queue than one of ten.
#pragma once

#include <cstdint>

#include "runtime/jobs/spec.h"

namespace drover {

inline constexpr std::uint64_t kMostTasks = 1'000'000;

// How far an array is. Tasks are made in the order of their indices.
struct ArrayProgress {
  std::uint64_t count = 0, made = 0;
  std::uint64_t succeeded = 0, failed = 0;
  bool making = false;     // some are under way
  bool cancelled = false;  // no more are made
  std::uint64_t over() const { return succeeded + failed; }
  std::uint64_t under_way() const { return made - over(); }
  bool is_over() const { return under_way() == 0 && !making && (made == count || cancelled); }
};

// Throws std::invalid_argument if the ranges, or what belongs to them, make no sense.
void check_array(const JobSpec& spec);

std::uint64_t count_tasks(const JobSpec& array);
// `position`: 0 .. count_tasks() - 1.
std::int64_t task_index(const JobSpec& array, std::uint64_t position);
// The spec of one task: the array's, with DROVER_ARRAY_ID, DROVER_ARRAY_INDEX and DROVER_ARRAY_ITEM.
JobSpec task_spec(const JobSpec& array, std::int64_t array_id, std::uint64_t position);

}  // namespace drover
