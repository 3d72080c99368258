// What every job finds in its environment besides what it was submitted with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct JobSpec;

// In `spec.env`, in place of any that is there.
void set_variable(JobSpec& spec, const std::string& name, const std::string& value);

// DROVER_JOB_ID, DROVER_JOB_NAME, DROVER_ORIGIN and DROVER_ATTEMPT (1 for the first) in `spec.env`, in place of those
// that are there: a job may have been submitted by another.
void set_job_environment(JobSpec& spec, std::int64_t id, const std::string& origin, int attempt);

}  // namespace drover
