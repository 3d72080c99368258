#include "launcher/shell/shell.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include <csignal>

#include "launcher/shell/builtins.h"
#include "launcher/shell/redirect.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

constexpr int kDeepest = 500;  // calls within calls: an error, not the end of the stack

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) { interrupted = 1; }

}  // namespace

bool take_interrupted() {
  const bool was = interrupted != 0;
  interrupted = 0;
  return was;
}

void check_interrupted() {
  if (take_interrupted()) throw Leave{Leave::To::Prompt, 128 + SIGINT};
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;  // without SA_RESTART: whoever waits looks
  ::sigaction(SIGINT, &action, nullptr);
}

void signals_as_usual() {
  for (const int signal : {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGTERM, SIGHUP, SIGWINCH, SIGPIPE})
    std::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

namespace {

// Counts what we are within, by one.
class Within {
 public:
  explicit Within(int& count, bool counts = true) : count_(count), by_(counts ? 1 : 0) { count_ += by_; }
  ~Within() { count_ -= by_; }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;

 private:
  int& count_;
  int by_;
};

// NAME=value before a builtin or a function: exported, and only while it runs.
class Assigned {
 public:
  Assigned(Shell& shell, const std::vector<std::string>& assignments) : variables_(shell.variables()) {
    for (const std::string& assignment : assignments) {
      const std::string name(assignment_name(assignment));
      const std::string text = expand_string(std::string_view(assignment).substr(name.size() + 1), shell);
      before_.push_back({name, variables_.value(name), ::getenv(name.c_str()) != nullptr});
      variables_.assign(name, text);
      variables_.export_name(name);
    }
  }
  ~Assigned() {
    for (auto before = before_.rbegin(); before != before_.rend(); ++before) {
      variables_.unset(before->name);
      if (!before->value) continue;
      variables_.assign(before->name, *before->value);
      if (before->exported) variables_.export_name(before->name);
    }
  }
  Assigned(const Assigned&) = delete;
  Assigned& operator=(const Assigned&) = delete;
  void keep() { before_.clear(); }

 private:
  struct Before {
    std::string name;
    std::optional<std::string> value;
    bool exported;
  };
  Variables& variables_;
  std::vector<Before> before_;
};

}  // namespace

void Shell::export_all(const std::vector<std::string>& assignments) { Assigned(*this, assignments).keep(); }

Shell::Shell(const Context& context, const SessionOptions& session, std::string name,
             std::vector<std::string> parameters)
    : context_(context),
      session_(session),
      name_(std::move(name)),
      parameters_(std::move(parameters)),
      pid_(::getpid()) {}

std::optional<std::string> Shell::special(char name) const {
  switch (name) {
    case '?':
      return fmt::format("{}", status_);
    case '$':
      return fmt::format("{}", pid_);
    case '!':
      return last_background_ > 0 ? fmt::format("{}", last_background_) : std::optional<std::string>();
    case '0':
      return name_;
    case '-':
      return std::string(stop_at_failure_ ? "e" : "") + (interactive() ? "im" : "");
    default:
      return std::nullopt;
  }
}

void Shell::drop_parameters(std::size_t count) {
  parameters_.erase(parameters_.begin(), parameters_.begin() + static_cast<std::ptrdiff_t>(count));
}

int Shell::run_script(const std::string& script) {
  try {
    (void)parse(script, aliases_);  // before anything is done: what can't be a script is none
    // An alias counts from the line after the one that makes it.
    Script lines(script);
    while (const auto line = lines.next(aliases_)) run(*line);
    return status_;
  } catch (const SyntaxError& error) {
    tell("drover shell: syntax error: {}\n", error.what());
    return status_ = 2;
  }
}

int Shell::run_to_end(const std::string& script) {
  try {
    run_script(script);
  } catch (const Leave& leave) {
    status_ = leave.value;
  }
  return end(status_);
}

void Shell::run_traps() {
  while (const auto due = traps_.take()) {
    if (!due->action) throw Leave{Leave::To::End, 128 + due->signal};
    const int before = status_;
    run_script(*due->action);
    status_ = before;
  }
}

int Shell::end(int status) {
  const auto action = traps_.take_exit();
  if (!action) return status;
  status_ = status;
  try {
    run_script(*action);
  } catch (const Leave& leave) {
    if (leave.to == Leave::To::End) return status_ = leave.value;
  }
  return status_ = status;
}

std::vector<std::string> Shell::function_names() const {
  std::vector<std::string> names;
  for (const auto& [name, body] : functions_) names.push_back(name);
  return names;
}

int Shell::run(const List& list) {
  if (depth_ >= kDeepest) throw std::runtime_error("functions or commands within each other too deep");
  const Within within(depth_);
  for (const AndOr& and_or : list) status_ = and_or.background ? run_in_background(and_or) : run(and_or);
  return status_;
}

int Shell::run(const AndOr& and_or) {
  for (std::size_t i = 0; i < and_or.parts.size(); ++i) {
    const auto& [when, pipeline] = and_or.parts[i];
    if (when == AndOr::When::Succeeded && status_ != 0) continue;
    if (when == AndOr::When::Failed && status_ == 0) continue;
    check_interrupted();
    const bool last = i + 1 == and_or.parts.size();
    {
      const Within condition(conditions_, !last || pipeline.negated);  // whose failure says nothing
      status_ = run(pipeline);
    }
    run_traps();
    if (stop_at_failure_ && status_ != 0 && last && !pipeline.negated && conditions_ == 0)
      throw Leave{Leave::To::End, status_};
  }
  return status_;
}

int Shell::run(const Pipeline& pipeline) {
  const bool simple = pipeline.commands.size() == 1;
  const int status = simple ? run(pipeline.commands[0]) : run_stages(pipeline, false, pipeline.text);
  return pipeline.negated ? (status == 0 ? 1 : 0) : status;
}

int Shell::run(const Command& command) {
  try {
    if (command.kind == Command::Kind::Simple) return run_words(command);
    if (command.kind == Command::Kind::Function) {
      functions_[command.name] = std::make_shared<const Command>(command);
      return 0;
    }
    if (command.kind == Command::Kind::Subshell) {
      Pipeline only;
      only.commands.push_back(command);
      return run_stages(only, false, "( ... )");
    }
    Redirected redirected;
    redirected.apply(command.redirections, *this);
    return run_compound(command);
  } catch (const SyntaxError& error) {
    tell("drover shell: {}\n", error.what());
    return 2;
  } catch (const ExpansionError& error) {
    tell("drover shell: {}\n", error.what());
    throw Leave{Leave::To::Prompt, 1};
  } catch (const std::exception& error) {
    tell("drover shell: {}\n", error.what());
    return 1;
  }
}

int Shell::run_compound(const Command& command) {
  switch (command.kind) {
    case Command::Kind::If:
      return run_if(command);
    case Command::Kind::While:
    case Command::Kind::Until:
      return run_loop(command);
    case Command::Kind::For:
      return run_for(command);
    case Command::Kind::Case:
      return run_case(command);
    default:
      return run(command.parts[0]);
  }
}

int Shell::run_condition(const List& list) {
  const Within condition(conditions_);
  return run(list);
}

int Shell::run_if(const Command& command) {
  for (std::size_t i = 0; i + 1 < command.parts.size(); i += 2)
    if (run_condition(command.parts[i]) == 0) return run(command.parts[i + 1]);
  return command.parts.size() % 2 == 1 ? run(command.parts.back()) : 0;
}

bool Shell::run_turn(const List& body, int& status) {
  try {
    check_interrupted();
    status = run(body);
    return true;
  } catch (const Leave& leave) {
    if (leave.to != Leave::To::NextTurn && leave.to != Leave::To::LoopEnd) throw;
    if (leave.value > 1) throw Leave{leave.to, leave.value - 1};
    status = 0;
    return leave.to == Leave::To::NextTurn;
  }
}

int Shell::run_loop(const Command& command) {
  int status = 0;
  while ((run_condition(command.parts[0]) == 0) == (command.kind == Command::Kind::While))
    if (!run_turn(command.parts[1], status)) break;
  return status;
}

int Shell::run_for(const Command& command) {
  int status = 0;
  const auto words = command.all_parameters ? parameters_ : expand_words(command.words, *this);
  for (const std::string& word : words) {
    variables_.assign(command.name, word);
    if (!run_turn(command.parts[0], status)) break;
  }
  return status;
}

int Shell::run_case(const Command& command) {
  const std::string word = expand_string(command.words[0], *this);
  for (std::size_t i = 0; i < command.patterns.size(); ++i)
    for (const std::string& pattern : command.patterns[i])
      if (::fnmatch(expand_pattern(pattern, *this).c_str(), word.c_str(), 0) == 0) {
        status_ = 0;
        return run(command.parts[i]);
      }
  return 0;
}

int Shell::call(const Command& body, const std::vector<std::string>& argv) {
  std::vector<std::string> before = std::exchange(parameters_, {argv.begin() + 1, argv.end()});
  int status = 0;
  try {
    status = run(body.parts[0]);
  } catch (const Leave& leave) {
    parameters_ = std::move(before);
    if (leave.to != Leave::To::Caller) throw;
    return leave.value;
  } catch (...) {
    parameters_ = std::move(before);
    throw;
  }
  parameters_ = std::move(before);
  return status;
}

int Shell::run_words(const Command& command) {
  substitution_status_ = 0;
  std::vector<std::string> argv = expand_words(command.words, *this);
  if (argv.empty()) return run_assignments(command);
  std::string node;
  while (argv.size() > 2 && argv[0] == "on") {
    node = argv[1];
    argv.erase(argv.begin(), argv.begin() + 2);
  }
  if (argv[0] == "exec") return replace(command, {argv.begin() + 1, argv.end()}, node);
  const auto function = functions_.find(argv[0]);
  const Builtin builtin = find_builtin(argv[0]);
  if (function == functions_.end() && builtin == nullptr) return run_program(command, argv, node);
  alone_ = false;  // from here on it may be for more
  if (!node.empty()) throw std::runtime_error(fmt::format("on {}: {} is no program", node, argv[0]));
  Redirected redirected;
  redirected.apply(command.redirections, *this);
  const Assigned assigned(*this, command.assignments);
  if (function == functions_.end()) return builtin(*this, argv);
  const std::shared_ptr<const Command> body = function->second;  // it may define itself anew
  return call(*body, argv);
}

int Shell::run_assignments(const Command& command) {
  Redirected redirected;
  redirected.apply(command.redirections, *this);
  for (const std::string& assignment : command.assignments) {
    const std::string name(assignment_name(assignment));
    variables_.assign(name, expand_string(std::string_view(assignment).substr(name.size() + 1), *this));
  }
  return substitution_status_;
}

// exec: this process becomes the program, or only its descriptors change.
int Shell::replace(const Command& command, const std::vector<std::string>& argv, const std::string& node) {
  Redirected redirected;
  redirected.apply(command.redirections, *this);
  redirected.keep();
  if (argv.empty()) return 0;
  export_all(command.assignments);
  signals_as_usual();
  traps_.enter_subshell();
  throw Leave{Leave::To::End, become_program(argv, node)};
}

}  // namespace drover::shell
