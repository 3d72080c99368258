// The shell's children, and job control as the glibc manual tells it ("Implementing a Shell"): with a terminal each
// pipeline is a process group, and the one in the foreground has the terminal.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "ckpt/sys/error.h"
#include "launcher/job_text.h"
#include "launcher/shell/job_list.h"
#include "launcher/shell/redirect.h"
#include "launcher/shell/shell.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

void Shell::take_terminal() {
  terminal_fd_ = check(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), "fcntl", "stdin");
  // Whoever started us in the background: we wait for the foreground, as shells do.
  while (::tcgetpgrp(terminal_fd_) != ::getpgrp()) ::kill(-::getpgrp(), SIGTTIN);
  for (const int signal : {SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU}) std::signal(signal, SIG_IGN);
  if (::getsid(0) != ::getpid()) ::setpgid(0, 0);
  ::tcsetpgrp(terminal_fd_, ::getpgrp());
  ::tcgetattr(terminal_fd_, &modes_);
}

void Shell::begin_child(pid_t group, bool background, bool has_input) {
  const bool control = interactive();
  if (control) {
    ::setpgid(0, group);
    if (!background) ::tcsetpgrp(terminal_fd_, ::getpgrp());
    ::close(terminal_fd_);
    terminal_fd_ = -1;
  }
  signals_as_usual();
  traps_.enter_subshell();
  if (background && !control) {
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGQUIT, SIG_IGN);
    if (!has_input) {
      const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      ::dup2(nothing, STDIN_FILENO);
      ::close(nothing);
    }
  }
  jobs_.forget();
  stop_at_failure_ = stop_at_failure_ && conditions_ == 0;
}

int Shell::end_of_child(const Work& work) {
  int status = 1;
  try {
    status = work();
  } catch (const Leave& leave) {
    status = leave.value;
  } catch (const std::exception& error) {
    tell("drover shell: {}\n", error.what());
  }
  return end(status);
}

// pipes: where it reads from, where it writes to, and the end that is the next one's; -1: none.
void Shell::start(const Work& work, Jobs::Job& job, bool background, const std::array<int, 3>& pipes) {
  std::fflush(nullptr);
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    begin_child(job.group, background, pipes[0] >= 0);
    if (pipes[0] >= 0) ::dup2(pipes[0], STDIN_FILENO);
    if (pipes[1] >= 0) ::dup2(pipes[1], STDOUT_FILENO);
    for (const int pipe : pipes)
      if (pipe >= 0) ::close(pipe);
    const int status = end_of_child(work);
    std::fflush(nullptr);
    ::_exit(status);
  }
  if (interactive()) {
    if (job.group == 0) job.group = pid;
    ::setpgid(pid, job.group);
    if (!background) ::tcsetpgrp(terminal_fd_, job.group);
  }
  job.processes.push_back({pid});
}

int Shell::run_apart(const std::vector<Work>& stages, bool background, const std::string& text) {
  Jobs::Job job;
  job.text = text;
  const int before = report_fd_;  // of a child: that of the shell's job
  UniqueFd report;
  if (before < 0) {
    std::array<int, 2> ends{};
    check(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), "pipe2");
    // Above all that a redirection can name.
    job.report.reset(::fcntl(ends[0], F_DUPFD_CLOEXEC, 10));
    report.reset(::fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
    ::close(ends[0]), ::close(ends[1]);
    report_fd_ = report.get();
  }
  UniqueFd input;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    std::array<int, 2> ends{-1, -1};
    if (i + 1 < stages.size()) check(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
    const UniqueFd output(ends[1]);
    UniqueFd next(ends[0]);
    start(stages[i], job, background, {input.get(), output.get(), next.get()});
    input = std::move(next);
  }
  report_fd_ = before;
  Jobs::Job& added = jobs_.add(std::move(job));
  if (!background) return follow(added);
  last_background_ = added.processes.back().pid;
  if (interactive()) tell("[{}] {}\n", added.number, last_background_);
  return 0;
}

// In the child that is there for it.
int Shell::run_as_stage(const Command& command) {
  alone_ = command.kind == Command::Kind::Simple;
  if (command.kind != Command::Kind::Subshell) return run(command);
  Redirected redirected;
  redirected.apply(command.redirections, *this);
  return run(command.parts[0]);
}

int Shell::run_stages(const Pipeline& pipeline, bool background, const std::string& text) {
  std::vector<Work> stages;
  const bool lends = interactive() && !background;
  const bool screen = lends && pipeline.commands.size() > 1 && ends_in_screen(pipeline);
  for (const Command& command : pipeline.commands)
    stages.emplace_back([this, &command, lends, screen, last = &command == &pipeline.commands.back()] {
      may_lend_ = lends && last;
      keys_taken_ = screen && !last;
      return run_as_stage(command);
    });
  return run_apart(stages, background, text);
}

int Shell::run_in_background(const AndOr& and_or) {
  if (and_or.parts.size() == 1 && !and_or.parts[0].pipeline.negated)
    return run_stages(and_or.parts[0].pipeline, true, and_or.text);
  return run_apart({[this, &and_or] { return run(and_or); }}, true, and_or.text);
}

int Shell::run_program(const Command& command, const std::vector<std::string>& argv, const std::string& node) {
  const Work work = [&] {
    Redirected redirected;
    redirected.apply(command.redirections, *this);
    redirected.keep();
    export_all(command.assignments);
    return become_program(argv, node);
  };
  if (alone_) return work();
  const bool lends = interactive();
  return run_apart({[&] {
                     may_lend_ = lends;
                     return work();
                   }},
                   false, shell_command(argv));
}

// A program that draws its screen and reads a pipe or a file gets a terminal beside it: less, fzf, vim -. Others in the
// same place are better off without: Ctrl-C is then for the whole pipeline, and the keys are for whoever is first in
// it.
bool Shell::draws_screen(const std::string& program) const {
  static constexpr std::string_view kUsual = "less:more:most:vi:vim:nvim:view:emacs:nano:fzf:sk:peco:tig:bat:visidata";
  const std::string name = program.substr(program.rfind('/') + 1);
  std::string known(kUsual);
  for (const char* variable : {"PAGER", "EDITOR", "VISUAL", "DROVER_SCREEN_PROGRAMS"}) {
    const std::string text = value(variable).value_or("");
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(':', at), text.size());
      const std::string word = text.substr(at, std::min(text.find(' ', at), end) - at);
      known += ":" + word.substr(word.rfind('/') + 1);
      at = end + 1;
    }
  }
  return !name.empty() && (":" + known + ":").find(":" + name + ":") != std::string::npos;
}

// As far as can be told before it is expanded.
bool Shell::ends_in_screen(const Pipeline& pipeline) {
  const auto& words = pipeline.commands.back().words;
  const std::size_t first = words.size() > 2 && words[0] == "on" ? 2 : 0;
  if (pipeline.commands.back().kind != Command::Kind::Simple || words.empty()) return false;
  if (words[first].find_first_of("`(") != std::string::npos) return false;
  const auto program = expand_words({words[first]}, *this);
  return !program.empty() && draws_screen(program.front());
}

int Shell::become_program(const std::vector<std::string>& argv, const std::string& node) {
  Remote remote{.argv = argv, .node = node};
  const auto is_terminal = [](int fd) { return ::isatty(fd) != 0; };
  const bool has_screen = may_lend_ && is_terminal(1) && is_terminal(2);
  remote.terminal = has_screen && (is_terminal(0) || draws_screen(argv[0]));
  remote.report_fd = report_fd_;
  UniqueFd pipe;
  if (remote.terminal && !is_terminal(0)) {
    pipe.reset(check(::fcntl(0, F_DUPFD_CLOEXEC, 10), "fcntl", "stdin"));
    ::dup2(1, 0);
  } else if (keys_taken_ && is_terminal(0)) {
    const UniqueFd nothing(check(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open", "/dev/null"));
    ::dup2(nothing.get(), 0);
  }
  remote.pipe_fd = pipe.get();
  const int status = run_remote(remote, context_, session_);
  if (pipe && (status == 128 + SIGINT || status == 128 + SIGQUIT)) {
    // The key went to its terminal alone, and is meant for all of the pipeline.
    std::signal(status - 128, SIG_IGN);
    ::kill(0, status - 128);
  }
  return status;
}

int Shell::wait_for(Jobs::Job& job) {
  while (job.state() == Jobs::State::Running) {
    if (traps_.is_fatal_pending()) run_traps();
    if (jobs_.wait_for_any() || errno == EINTR) continue;
    for (Jobs::Process& process : job.processes) process.state = Jobs::State::Done;  // somebody else's children
  }
  return job.status();
}

// A job in the foreground, until it ends or stops; then the terminal is the shell's again.
int Shell::follow(Jobs::Job& job) {
  const int status = wait_for(job);
  if (interactive()) {
    ::tcsetpgrp(terminal_fd_, ::getpgrp());
    ::tcsetattr(terminal_fd_, TCSADRAIN, &modes_);
  }
  if (job.state() == Jobs::State::Stopped) {
    jobs_.read_reports();
    tell("\n{}\n", job_line(jobs_, job, {}));
    job.told = true;
    return status;
  }
  jobs_.remove(job.number);
  if (interactive() && status == 128 + SIGINT) {
    tell("\n");
    throw Leave{Leave::To::Prompt, status};
  }
  if (status > 128 && interactive())
    if (const char* why = ::sigdescr_np(status - 128); why != nullptr && status != 128 + SIGPIPE) tell("{}\n", why);
  check_interrupted();
  return status;
}

int Shell::continue_job(Jobs::Job& job, bool foreground) {
  jobs_.use(job);
  job.told = true;
  if (foreground) ::tcsetpgrp(terminal_fd_, job.group);
  bool stopped = false;
  for (Jobs::Process& process : job.processes)
    if (process.state == Jobs::State::Stopped) {
      process.state = Jobs::State::Running;
      stopped = true;
    }
  job.signal(stopped ? SIGCONT : SIGWINCH);  // the latter: it runs, and has the terminal again
  return foreground ? follow(job) : 0;
}

void Shell::tell_of_jobs() {
  jobs_.look();
  jobs_.read_reports();
  std::vector<int> done;
  for (Jobs::Job& job : jobs_.all()) {
    if (job.told || job.state() == Jobs::State::Running) continue;
    tell("{}\n", job_line(jobs_, job, {}));
    job.told = true;
    if (job.state() == Jobs::State::Done) done.push_back(job.number);
  }
  for (const int number : done) jobs_.remove(number);
}

bool Shell::may_exit() {
  jobs_.look();
  for (const Jobs::Job& job : jobs_.all())
    if (job.state() == Jobs::State::Stopped && !std::exchange(told_of_stopped_, true)) {
      tell("There are stopped jobs: see jobs, fg and kill; another exit leaves them.\n");
      return false;
    }
  return true;
}

void Shell::hang_up() {
  jobs_.look();
  for (const Jobs::Job& job : jobs_.all()) {
    job.signal(SIGHUP);
    job.signal(SIGCONT);
  }
}

std::string Shell::output_of(const std::string& script) {
  std::fflush(nullptr);
  std::array<int, 2> ends{};
  check(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    if (interactive()) ::close(std::exchange(terminal_fd_, -1));  // in the shell's own group
    begin_child(0, false, true);
    ::dup2(writing.get(), STDOUT_FILENO);
    const int status = end_of_child([&] { return run_script(script); });
    std::fflush(nullptr);
    ::_exit(status);
  }
  writing.reset();
  std::string out;
  std::array<char, 65536> bytes;
  for (;;) {
    const ssize_t n = ::read(reading.get(), bytes.data(), bytes.size());
    if (n > 0) out.append(bytes.data(), static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) break;
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  substitution_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  out.erase(std::remove(out.begin(), out.end(), '\0'), out.end());
  check_interrupted();
  return out;
}

}  // namespace drover::shell
