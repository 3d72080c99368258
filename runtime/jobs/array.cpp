#include "runtime/jobs/array.h"

#include <fmt/format.h>

#include <stdexcept>

#include "runtime/jobs/job_environment.h"

namespace drover {

static std::uint64_t size_of(const IndexRange& range) {
  return static_cast<std::uint64_t>((range.last - range.first) / range.step) + 1;
}

void check_array(const JobSpec& spec) {
  if (spec.array.empty()) return;
  std::uint64_t count = 0;
  std::int64_t last = -1;
  for (const IndexRange& range : spec.array) {
    if (range.step < 1 || range.last < range.first || range.last > (std::int64_t{1} << 62))
      throw std::invalid_argument("'array' has a range that ends before it begins");
    if (range.first <= last) throw std::invalid_argument("'array' has ranges that overlap, or do not ascend");
    last = range.last;
    count += size_of(range);
    if (count > kMostTasks) throw std::invalid_argument(fmt::format("an array has at most {} tasks", kMostTasks));
  }
  if (spec.array_limit < 0) throw std::invalid_argument("'array_limit' is not a number of tasks");
  if (!spec.array_items.empty() && spec.array_items.size() != count)
    throw std::invalid_argument("'array_items' has not one item for each task");
  if (spec.attached || spec.terminal) throw std::invalid_argument("an array is submitted, not run");
}

std::uint64_t count_tasks(const JobSpec& array) {
  std::uint64_t count = 0;
  for (const IndexRange& range : array.array) count += size_of(range);
  return count;
}

std::int64_t task_index(const JobSpec& array, std::uint64_t position) {
  for (const IndexRange& range : array.array) {
    if (position < size_of(range)) return range.first + static_cast<std::int64_t>(position) * range.step;
    position -= size_of(range);
  }
  throw std::out_of_range("no such task");
}

// Field by field: a copy would hold the items of all tasks.
JobSpec task_spec(const JobSpec& array, std::int64_t array_id, std::uint64_t position) {
  JobSpec task;
  task.argv = array.argv;
  task.env = array.env;
  task.cwd = array.cwd;
  task.name = array.name;
  task.umask = array.umask;
  task.limits = array.limits;
  task.stdin_path = array.stdin_path;
  task.stdout_path = array.stdout_path;
  task.stderr_path = array.stderr_path;
  task.node = array.node;
  task.namespaces = array.namespaces;
  task.pinned = array.pinned;
  task.cpus = array.cpus;
  task.memory_kib = array.memory_kib;
  task.priority = array.priority;
  task.exclude = array.exclude;
  task.time_limit_s = array.time_limit_s;
  task.retries = array.retries;
  task.checkpoint_every_s = array.checkpoint_every_s;
  set_variable(task, "DROVER_ARRAY_ID", std::to_string(array_id));
  set_variable(task, "DROVER_ARRAY_INDEX", std::to_string(task_index(array, position)));
  if (!array.array_items.empty()) set_variable(task, "DROVER_ARRAY_ITEM", array.array_items.at(position));
  return task;
}

}  // namespace drover
