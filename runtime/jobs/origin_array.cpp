// Arrays at their origin: their tasks are made as places come free, and the array is over when all of them are.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/text.h"
#include "runtime/jobs/job_directory.h"
#include "runtime/jobs/origin.h"
#include "runtime/jobs/spec_json.h"

namespace drover {

namespace {
constexpr std::uint64_t kAhead = 8;       // tasks that wait, so that a free place gets one at once
constexpr std::uint64_t kMostMade = 256;  // at a time
}  // namespace

// As many as have places, were all of them free, and some more.
void OriginJobs::make_tasks(OriginJob& array) {
  ArrayProgress& tasks = *array.tasks;
  if (array.held || tasks.making || tasks.cancelled || tasks.made == tasks.count) return;
  std::uint64_t room = kAhead;
  for (const NodeView& node : view_.table())
    if (node.usable) room += static_cast<std::uint64_t>(std::max(0, node.slots / array.spec.cpus));
  if (array.spec.array_limit > 0) room = std::min(room, static_cast<std::uint64_t>(array.spec.array_limit));
  if (tasks.under_way() >= room) return;
  const std::uint64_t wanted = std::min({room - tasks.under_way(), tasks.count - tasks.made, kMostMade});
  tasks.making = true;
  struct Made {
    std::vector<std::int64_t> ids;
    std::string error;
  };
  auto made = std::make_shared<Made>();
  cluster_.in_background(
      [made, wanted, jobs_dir = cluster_.paths().state + "/jobs", from = next_id_]() mutable {
        try {
          for (std::uint64_t i = 0; i < wanted; ++i) {
            made->ids.push_back(make_job_dir(jobs_dir, from));
            from = made->ids.back() + 1;
          }
        } catch (const std::exception& error) {
          made->error = error.what();
        }
      },
      [this, made, id = array.id] {
        OriginJob& owner = jobs_.at(id);
        owner.tasks->making = false;
        for (const std::int64_t task : made->ids) add_task(owner, task);
        if (!made->error.empty()) cancel_array(owner, made->error + "; is the state directory there and writable?");
        if (owner.tasks->made == owner.tasks->count) leave_queue(owner);
        if (owner.tasks->is_over() && !over(owner)) end_array(owner);
        start_waiting();
      });
}

void OriginJobs::add_task(OriginJob& array, std::int64_t id) {
  next_id_ = std::max(next_id_, id + 1);
  ArrayProgress& tasks = *array.tasks;
  if (tasks.cancelled)
    return cluster_.in_background([dir = cluster_.paths().job_dir(id)] { ::rmdir(dir.c_str()); }, [] {});
  OriginJob& task = jobs_[id];
  task.id = id;
  task.array = array.id;
  task.array_index = task_index(array.spec, tasks.made);
  task.spec = task_spec(array.spec, array.id, tasks.made);
  task.submitted_ns = realtime_ns();
  task.told_waiting = true;  // nobody waits to hear of it
  ++tasks.made;
  log(task, "submitted", {{"array", array.id}, {"index", task.array_index}});
  try {
    name_streams(task);
  } catch (const std::invalid_argument& error) {
    return fail(task, "failed", error.what());
  }
  queue_.insert(waiting(task));
  if (array.held) hold_waiting(task, true, array.hold_reason);  // while they were being made
}

// An end of a task's, once.
OriginJob* OriginJobs::count_in_array(OriginJob& task) {
  if (task.array == 0 || std::exchange(task.counted, true)) return nullptr;
  OriginJob* array = find(task.array);
  if (array == nullptr || !array->tasks || over(*array)) return nullptr;
  const bool ok = task.state == JobState::Ended && task.wait_status == 0;
  ++(ok ? array->tasks->succeeded : array->tasks->failed);
  array->cpu_seconds += task.cpu_seconds;
  array->max_rss_kib = std::max(array->max_rss_kib, task.max_rss_kib);
  array->moves += task.moves;
  array->frozen_ns += task.frozen_ns;
  return array;
}

void OriginJobs::count_task(OriginJob& task) {
  OriginJob* array = count_in_array(task);
  if (array != nullptr && array->tasks->is_over()) end_array(*array);
}

void OriginJobs::uncount_task(OriginJob& task) {
  if (task.array == 0 || !std::exchange(task.counted, false)) return;
  OriginJob* array = find(task.array);
  if (array != nullptr && array->tasks && !over(*array)) --array->tasks->failed;  // only those were given up
}

void OriginJobs::task_started(const OriginJob& task) {
  OriginJob* array = task.array == 0 ? nullptr : find(task.array);
  if (array == nullptr || !array->tasks || over(*array)) return;
  array->state = JobState::Running;
  if (array->started_ns == 0) array->started_ns = task.started_ns;
}

void OriginJobs::end_array(OriginJob& array) {
  const ArrayProgress& tasks = *array.tasks;
  leave_queue(array);
  array.state = JobState::Ended;
  array.wait_status = tasks.failed == 0 && !tasks.cancelled ? 0 : W_EXITCODE(1, 0);
  array.ended_ns = realtime_ns();
  log(array, "ended",
      {{"wait_status", array.wait_status},
       {"cpu_seconds", array.cpu_seconds},
       {"memory_kib", array.max_rss_kib},
       {"moves", array.moves},
       {"tasks", tasks.count},
       {"succeeded", tasks.succeeded},
       {"failed", tasks.failed},
       {"reason", array.error}});
  finish_if_drained(array);
}

// Those that run go on.
void OriginJobs::cancel_array(OriginJob& array, const std::string& why) {
  if (std::exchange(array.tasks->cancelled, true)) return;
  leave_queue(array);
  array.error = fmt::format("{} when {} of {} tasks had begun", why, array.tasks->made, array.tasks->count);
  log(array, "cancelled", {{"reason", array.error}});
}

void OriginJobs::signal_array(OriginJob& array, int signo) {
  const bool ends = ends_program(signo);
  if (ends) cancel_array(array, fmt::format("cancelled by signal {}", signo));
  std::vector<std::int64_t> tasks;
  for (const auto& [id, job] : jobs_)
    if (job.array == array.id && !over(job)) tasks.push_back(id);
  for (const std::int64_t id : tasks) signal(jobs_.at(id), signo);
  if (ends && array.tasks->made == 0 && !array.tasks->making) return fail(array, "cancelled", array.error);
  if (array.tasks->is_over() && !over(array)) end_array(array);
}

std::string OriginJobs::array_text(const OriginJob& array) {
  const ArrayProgress& tasks = *array.tasks;
  std::string text = fmt::format("{} of {} tasks done", tasks.over(), tasks.count);
  if (tasks.failed > 0) text += fmt::format(", {} of them failed", tasks.failed);
  if (array.spec.array_limit > 0 && !over(array)) text += fmt::format("; {} at a time", array.spec.array_limit);
  return text;
}

// From the log of an earlier world.
void OriginJobs::replay_task(OriginJob& task, const nlohmann::json& event) {
  OriginJob* array = find(event.value("array", std::int64_t{0}));
  if (array == nullptr || !array->tasks || array->tasks->made == array->tasks->count) return;
  task.array = array->id;
  task.array_index = event.value("index", std::int64_t{0});
  task.spec = task_spec(array->spec, array->id, array->tasks->made++);
}

std::function<JobSpec()> OriginJobs::spec_reader(const OriginJob& job) const {
  const std::string path = cluster_.paths().job_dir(job.array != 0 ? job.array : job.id) + "/spec.json";
  return [path, array_id = job.array, index = job.array_index] {
    JobSpec spec = spec_from_json(nlohmann::json::parse(read_text(path)));
    if (array_id == 0) return spec;
    const std::uint64_t count = count_tasks(spec);
    for (std::uint64_t position = 0; position < count; ++position)
      if (task_index(spec, position) == index) return task_spec(spec, array_id, position);
    throw std::runtime_error(fmt::format("{} has no task {}", path, index));
  };
}

}  // namespace drover
