#include "launcher/shell/jobs.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <stdexcept>

namespace drover::shell {

Jobs::State Jobs::Job::state() const {
  const auto any = [this](State state) {
    return std::any_of(processes.begin(), processes.end(),
                       [&](const Process& process) { return process.state == state; });
  };
  return any(State::Running) ? State::Running : any(State::Stopped) ? State::Stopped : State::Done;
}

bool Jobs::Job::has(pid_t pid) const {
  return std::any_of(processes.begin(), processes.end(), [&](const Process& process) { return process.pid == pid; });
}

void Jobs::Job::signal(int signal) const {
  if (group > 0) {
    ::kill(-group, signal);
    return;
  }
  for (const Process& process : processes)
    if (process.state != State::Done) ::kill(process.pid, signal);
}

Jobs::Job& Jobs::add(Job job) {
  job.number = 1;
  for (const Job& other : jobs_) job.number = std::max(job.number, other.number + 1);
  jobs_.push_back(std::move(job));
  use(jobs_.back());
  return jobs_.back();
}

void Jobs::remove(int number) {
  jobs_.remove_if([&](const Job& job) { return job.number == number; });
}

const Jobs::Job* Jobs::current(unsigned back) const {
  std::vector<const Job*> order;
  for (const Job& job : jobs_)
    if (job.state() != State::Done) order.push_back(&job);
  std::sort(order.begin(), order.end(), [](const Job* a, const Job* b) {
    const bool stopped = a->state() == State::Stopped, other = b->state() == State::Stopped;
    return stopped != other ? stopped : a->used > b->used;
  });
  return back < order.size() ? order[back] : nullptr;
}

Jobs::Job* Jobs::with(pid_t pid) {
  const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return job.has(pid); });
  return found == jobs_.end() ? nullptr : &*found;
}

Jobs::Job& Jobs::find(const std::string& text) {
  const std::string name = text.substr(std::min<std::size_t>(text.size(), text.rfind('%', 0) == 0 ? 1 : 0));
  long number = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool is_number = !name.empty() && parsed.ptr == name.data() + name.size();
  const bool previous = name == "-", newest = name.empty() || name == "+" || name == "%";
  const Job* wanted = newest || previous ? current(previous ? 1 : 0) : nullptr;
  for (Job& job : jobs_) {
    if (&job == wanted) return job;
    if (newest || previous) continue;
    if (text[0] != '%' ? is_number && job.has(static_cast<pid_t>(number))
        : is_number    ? job.number == number
                       : job.text.rfind(name, 0) == 0)
      return job;
  }
  throw std::runtime_error(fmt::format("{}: no such job", text.empty() ? "%+" : text));
}

bool Jobs::take(int options) {
  int status = 0;
  const pid_t pid = ::waitpid(-1, &status, WUNTRACED | WCONTINUED | options);
  if (pid <= 0) return false;
  for (Job& job : jobs_)
    for (Process& process : job.processes) {
      if (process.pid != pid) continue;
      if (WIFCONTINUED(status)) {
        process.state = State::Running;
        return true;
      }
      process.state = WIFSTOPPED(status) ? State::Stopped : State::Done;
      process.status = WIFEXITED(status)    ? WEXITSTATUS(status)
                       : WIFSTOPPED(status) ? 128 + WSTOPSIG(status)
                                            : 128 + WTERMSIG(status);
      job.told = false;
      if (process.state == State::Stopped) use(job);
    }
  return true;
}

bool Jobs::wait_for_any() { return take(0); }

void Jobs::look() {
  while (take(WNOHANG)) {
  }
}

void Jobs::read_reports() {
  for (Job& job : jobs_) {
    std::array<long, 64> ids{};
    for (ssize_t n = 0; job.report && (n = ::read(job.report.get(), ids.data(), sizeof ids)) > 0;)
      job.ids.insert(job.ids.end(), ids.begin(), ids.begin() + n / static_cast<ssize_t>(sizeof ids[0]));
  }
}

void Jobs::forget() { jobs_.clear(); }

}  // namespace drover::shell
