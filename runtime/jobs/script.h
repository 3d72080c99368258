// A job that was submitted as a script: its text comes with the spec, and its file is made by the origin.
#pragma once

#include <string>

#include "runtime/jobs/spec.h"

namespace drover {

// Throws std::invalid_argument if `spec.script` is one that could not be run.
void check_script(const JobSpec& spec);

std::string script_path(const std::string& job_dir);

// Writes the script (0700) into the job's directory and makes it the program; from here on it is the file, and no
// longer the spec, that holds the text. Without a script: nothing. Throws SystemError.
void keep_script(JobSpec& spec, const std::string& job_dir);

}  // namespace drover
