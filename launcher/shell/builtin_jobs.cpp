// jobs, fg, bg, wait, kill
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "launcher/shell/builtins.h"
#include "launcher/shell/job_list.h"
#include "launcher/shell/shell.h"
#include "launcher/shell/tell.h"
#include "launcher/shell/traps.h"

namespace drover::shell {

namespace {

using Words = std::vector<std::string>;

void require_terminal(const Shell& shell, const std::string& name) {
  if (!shell.interactive())
    throw std::runtime_error(fmt::format("{}: without a terminal there is no job control", name));
}

Jobs::Job& wanted_job(Shell& shell, const Words& argv) {
  shell.jobs().look();
  try {
    return shell.jobs().find(argv.size() > 1 ? argv[1] : "%+");
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", argv[0], error.what()));
  }
}

int wanted_signal(const std::string& name) {
  try {
    return signal_number(name);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("kill: {}", error.what()));
  }
}

// A process that follows a job passes signals on, but nobody can catch these two.
void send_to_job(Shell& shell, Jobs::Job& job, int signal) {
  if (signal == SIGKILL) {
    shell.jobs().read_reports();
    const Places places = ask_places(shell.context());
    for (const long id : job.ids)
      if (places.count(id) != 0)
        (void)shell.context().connect().request({{"op", "kill"}, {"job", id}, {"signal", SIGKILL}});
    // Those that follow them end with them; what else there is does not.
    job.signal(job.ids.empty() ? SIGKILL : SIGTERM);
  } else {
    job.signal(signal == SIGSTOP ? SIGTSTP : signal);
  }
  const bool stopped = job.state() == Jobs::State::Stopped;
  if (stopped && (signal == SIGKILL || signal == SIGTERM || signal == SIGHUP)) job.signal(SIGCONT);
}

}  // namespace

int builtin_jobs(Shell& shell, const Words& argv) {
  const bool pids = argv.size() > 1 && argv[1] == "-p";
  if (argv.size() > 1 && !pids) throw std::runtime_error(fmt::format("jobs: {}: the only option is -p", argv[1]));
  Jobs& jobs = shell.jobs();
  jobs.look();
  jobs.read_reports();
  const Places places = pids ? Places{} : ask_places(shell.context());
  std::vector<int> done;
  for (Jobs::Job& job : jobs.all()) {
    say(pids ? fmt::format("{}\n", job.processes.front().pid) : job_line(jobs, job, places) + "\n");
    job.told = true;
    if (job.state() == Jobs::State::Done && shell.interactive()) done.push_back(job.number);
  }
  for (const int number : done) jobs.remove(number);
  return 0;
}

int builtin_fg(Shell& shell, const Words& argv) {
  require_terminal(shell, argv[0]);
  Jobs::Job& job = wanted_job(shell, argv);
  say(job.text + "\n");
  return shell.continue_job(job, true);
}

int builtin_bg(Shell& shell, const Words& argv) {
  require_terminal(shell, argv[0]);
  Jobs::Job& job = wanted_job(shell, argv);
  say(fmt::format("[{}] {} &\n", job.number, job.text));
  return shell.continue_job(job, false);
}

int builtin_wait(Shell& shell, const Words& argv) {
  Jobs& jobs = shell.jobs();
  int signal = 0;  // which has come, and has an action: the wait is over
  const auto wait = [&](Jobs::Job& job) {
    while (job.state() == Jobs::State::Running && (jobs.wait_for_any() || errno == EINTR)) {
      check_interrupted();
      signal = Traps::pending();
      if (signal != 0) return 128 + signal;
    }
    return job.status();
  };
  if (argv.size() == 1) {
    for (Jobs::Job& job : jobs.all())
      if (const int status = wait(job); signal != 0) return status;
    if (!shell.interactive()) jobs.all().clear();
    return 0;
  }
  int status = 0;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    Jobs::Job* job = nullptr;
    try {
      job = &jobs.find(argv[i]);
    } catch (const std::runtime_error& error) {
      tell("drover shell: wait: {}\n", error.what());
      status = 127;
      continue;
    }
    status = wait(*job);
    if (signal != 0) return status;
    if (job->state() == Jobs::State::Done) jobs.remove(job->number);
  }
  return status;
}

int builtin_kill(Shell& shell, const Words& argv) {
  if (argv.size() == 2 && argv[1] == "-l") {
    for (int signal = 1; signal < NSIG; ++signal)
      if (const char* name = ::sigabbrev_np(signal); name != nullptr) say(fmt::format("{:2} {}\n", signal, name));
    return 0;
  }
  std::size_t i = 1;
  int signal = SIGTERM;
  if (i + 1 < argv.size() && argv[i] == "-s") {
    signal = wanted_signal(argv[i + 1]);
    i += 2;
  } else if (i < argv.size() && argv[i].size() > 1 && argv[i][0] == '-' && argv[i] != "--") {
    signal = wanted_signal(argv[i++].substr(1));
  }
  if (i < argv.size() && argv[i] == "--") ++i;
  if (i >= argv.size()) throw std::runtime_error("kill: what? %1, or a process id");
  int status = 0;
  for (; i < argv.size(); ++i) {
    try {
      shell.jobs().look();
      pid_t pid = 0;
      const auto end = std::from_chars(argv[i].data(), argv[i].data() + argv[i].size(), pid);
      Jobs::Job* ours = shell.jobs().with(pid);
      if (argv[i][0] == '%' || ours != nullptr)
        send_to_job(shell, ours != nullptr ? *ours : shell.jobs().find(argv[i]), signal);
      else if (argv[i].empty() || end.ptr != argv[i].data() + argv[i].size())
        throw std::runtime_error(fmt::format("{}: neither %1 nor a process id", argv[i]));
      else if (::kill(pid, signal) < 0)
        throw std::runtime_error(fmt::format("{}: {}", argv[i], std::strerror(errno)));
    } catch (const std::exception& error) {
      tell("drover shell: kill: {}\n", error.what());
      status = 1;
    }
  }
  return status;
}

}  // namespace drover::shell
