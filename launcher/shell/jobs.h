// The shell's jobs: pipelines, each a group of processes of this shell, of which those that run programs follow a job
// of Drover each. Not to be confused with those: a job here has a small number, %1.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <list>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/sys/unique_fd.h"

namespace drover::shell {

class Jobs {
 public:
  enum class State { Running, Stopped, Done };

  struct Process {
    pid_t pid;
    State state = State::Running;
    int status = 0;  // as a shell gives it: 128+n for a signal
  };

  struct Job {
    int number = 0;
    pid_t group = 0;  // 0: the shell's own
    std::string text;
    std::vector<Process> processes;
    UniqueFd report = {};        // where its processes tell of Drover's jobs
    std::vector<long> ids = {};  // of these
    bool told = false;           // that it has stopped or ended
    unsigned used = 0;           // when it was last started, stopped or continued: %+ is the newest

    State state() const;
    int status() const { return processes.empty() ? 0 : processes.back().status; }
    bool has(pid_t pid) const;
    void signal(int signal) const;
  };

  Job& add(Job job);
  void remove(int number);
  // "%1", "%+", "%%", "%-", "%name"; a number alone is a process. Throws std::runtime_error.
  Job& find(const std::string& text);
  Job* with(pid_t pid);
  std::list<Job>& all() { return jobs_; }
  void use(Job& job) { job.used = ++uses_; }
  const Job* current(unsigned back = 0) const;  // of %+, and of %- with 1

  // Takes in what has become of the processes; waits for one thing to happen unless it happened already. False if a
  // signal came first, or there is nothing to wait for.
  bool wait_for_any();
  void look();  // the same without waiting
  void read_reports();
  // In a child that has none of them.
  void forget();

 private:
  bool take(int options);

  std::list<Job> jobs_;
  unsigned uses_ = 0;
};

}  // namespace drover::shell
