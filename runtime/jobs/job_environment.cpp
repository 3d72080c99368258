#include "runtime/jobs/job_environment.h"

#include "runtime/jobs/spec.h"

namespace drover {

void set_variable(JobSpec& spec, const std::string& name, const std::string& value) {
  const std::string assigned = name + "=";
  std::erase_if(spec.env, [&assigned](const std::string& entry) { return entry.starts_with(assigned); });
  spec.env.push_back(assigned + value);
}

void set_job_environment(JobSpec& spec, std::int64_t id, const std::string& origin, int attempt) {
  const std::pair<std::string, std::string> values[] = {{"DROVER_JOB_ID", std::to_string(id)},
                                                        {"DROVER_JOB_NAME", spec.name},
                                                        {"DROVER_ORIGIN", origin},
                                                        {"DROVER_ATTEMPT", std::to_string(attempt)}};
  for (const auto& [name, value] : values) set_variable(spec, name, value);
}

}  // namespace drover
