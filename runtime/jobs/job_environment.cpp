#include "runtime/jobs/job_environment.h"

#include "runtime/jobs/spec.h"

namespace drover {

void set_job_environment(JobSpec& spec, std::int64_t id, const std::string& origin) {
  const std::pair<std::string, std::string> values[] = {
      {"DROVER_JOB_ID=", std::to_string(id)}, {"DROVER_JOB_NAME=", spec.name}, {"DROVER_ORIGIN=", origin}};
  for (const auto& [name, value] : values) {
    std::erase_if(spec.env, [&name = name](const std::string& entry) { return entry.starts_with(name); });
    spec.env.push_back(name + value);
  }
}

}  // namespace drover
