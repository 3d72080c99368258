// The shell itself: runs what the parser has read. Builtins, functions and loops run in this process; every program is
// a job of Drover that a child of ours follows (remote.h).
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "launcher/shell/expand.h"
#include "launcher/shell/jobs.h"
#include "launcher/shell/remote.h"
#include "launcher/shell/syntax.h"
#include "launcher/shell/traps.h"
#include "launcher/shell/variables.h"

namespace drover::shell {

// Unwinds to where it is meant for: a loop, a function, the prompt, the end.
struct Leave {
  enum class To { NextTurn, LoopEnd, Caller, Prompt, End };
  To to;
  int value;  // exit status; of the loops' how many are left still
};

class Shell : public Environment {
 public:
  Shell(const Context& context, const SessionOptions& session, std::string name, std::vector<std::string> parameters);

  // The exit status of the last command. Syntax errors are told, and give 2.
  int run_script(const std::string& script);
  // The same, with what ends a script or comes from a signal taken into account.
  int run_to_end(const std::string& script);
  void take_terminal();  // from now on each pipeline is a process group: job control

  // Of the prompt.
  void tell_of_jobs();  // that have stopped or ended, each once
  bool may_exit();      // says why not, once
  void hang_up();       // what is left of the jobs
  int status() const { return status_; }
  void set_status(int status) { status_ = status; }
  bool interactive() const { return terminal_fd_ >= 0; }
  const Context& context() const { return context_; }
  Jobs& jobs() { return jobs_; }
  Variables& variables() { return variables_; }
  Traps& traps() { return traps_; }
  Aliases& aliases() { return aliases_; }
  std::vector<std::string>& history() { return history_; }

  void run_traps();     // of signals that have come
  int end(int status);  // runs the action of EXIT; gives the exit status
  std::vector<std::string> function_names() const;

  // For builtins.
  int continue_job(Jobs::Job& job, bool foreground);
  int wait_for(Jobs::Job& job);  // until it has stopped or ended; interrupted: 130
  void set_parameters(std::vector<std::string> parameters) { parameters_ = std::move(parameters); }
  void drop_parameters(std::size_t count);
  void set_stop_at_failure(bool stop) { stop_at_failure_ = stop; }
  void forget_function(const std::string& name) { functions_.erase(name); }
  bool has_function(const std::string& name) const { return functions_.count(name) != 0; }

  // Environment
  std::optional<std::string> value(const std::string& name) const override { return variables_.value(name); }
  void assign(const std::string& name, const std::string& text) override { variables_.assign(name, text); }
  const std::vector<std::string>& parameters() const override { return parameters_; }
  std::optional<std::string> special(char name) const override;
  std::string output_of(const std::string& script) override;

 private:
  int run(const List& list);
  int run(const AndOr& and_or);
  int run(const Pipeline& pipeline);
  int run(const Command& command);
  int run_compound(const Command& command);
  int run_if(const Command& command);
  int run_loop(const Command& command);
  int run_for(const Command& command);
  int run_case(const Command& command);
  bool run_turn(const List& body, int& status);  // false: the loop is over
  int run_condition(const List& list);
  int run_words(const Command& command);
  int run_assignments(const Command& command);
  int replace(const Command& command, const std::vector<std::string>& argv, const std::string& node);
  int call(const Command& body, const std::vector<std::string>& argv);
  void export_all(const std::vector<std::string>& assignments);

  // processes.cpp
  using Work = std::function<int()>;  // in a child; gives its exit code
  int run_program(const Command& command, const std::vector<std::string>& argv, const std::string& node);
  int become_program(const std::vector<std::string>& argv, const std::string& node);
  int run_stages(const Pipeline& pipeline, bool background, const std::string& text);
  int run_apart(const std::vector<Work>& stages, bool background, const std::string& text);
  int run_in_background(const AndOr& and_or);
  void start(const Work& work, Jobs::Job& job, bool background, const std::array<int, 3>& pipes);
  void begin_child(pid_t group, bool background, bool has_input);
  int end_of_child(const Work& work);
  int run_as_stage(const Command& command);
  bool draws_screen(const std::string& program) const;  // so that it needs a terminal whatever it reads from
  bool ends_in_screen(const Pipeline& pipeline);
  int follow(Jobs::Job& job);

  const Context& context_;
  SessionOptions session_;
  Variables variables_;
  Jobs jobs_;
  Traps traps_;
  Aliases aliases_;
  std::map<std::string, std::shared_ptr<const Command>> functions_;
  std::vector<std::string> history_;
  std::string name_;
  std::vector<std::string> parameters_;
  pid_t pid_;  // $$, also in children
  int status_ = 0, substitution_status_ = 0;
  pid_t last_background_ = 0;
  int terminal_fd_ = -1, report_fd_ = -1;
  termios modes_{};          // the shell's own
  bool alone_ = false;       // this process is there for one simple command
  bool may_lend_ = false;    // its terminal, to a program
  bool keys_taken_ = false;  // the last of the pipeline has them
  bool stop_at_failure_ = false, told_of_stopped_ = false;
  int conditions_ = 0, depth_ = 0;
};

// Set by SIGINT while the shell itself has the terminal; throws Leave to the prompt, or to the end of a script.
void check_interrupted();
bool take_interrupted();
void catch_interrupts();
void signals_as_usual();  // in a child

}  // namespace drover::shell
