#include "launcher/shell/builtins.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "launcher/shell/shell.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

using Words = std::vector<std::string>;

long number(const Words& argv, std::size_t index, long otherwise) {
  if (index >= argv.size()) return otherwise;
  const std::string& word = argv[index];
  long value = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || end.ptr != word.data() + word.size())
    throw std::runtime_error(fmt::format("{}: {}: not a number", argv[0], word));
  return value;
}

int do_nothing(Shell&, const Words&) { return 0; }

int do_false(Shell&, const Words&) { return 1; }

int do_cd(Shell& shell, const Words& argv) {
  std::string to = argv.size() > 1 ? argv[1] : shell.value("HOME").value_or("");
  const bool back = to == "-";
  if (back) to = shell.value("OLDPWD").value_or("");
  if (to.empty()) throw std::runtime_error(back ? "cd: OLDPWD is not set" : "cd: HOME is not set");
  std::error_code ignored;
  const std::string before = std::filesystem::current_path(ignored).string();
  if (::chdir(to.c_str()) < 0) throw std::runtime_error(fmt::format("cd: {}: {}", to, std::strerror(errno)));
  const std::string now = std::filesystem::current_path(ignored).string();
  ::setenv("OLDPWD", before.c_str(), 1);
  ::setenv("PWD", now.c_str(), 1);
  if (back) say(now + "\n");
  return 0;
}

int do_pwd(Shell&, const Words&) {
  say(std::filesystem::current_path().string() + "\n");
  return 0;
}

int do_echo(Shell&, const Words& argv) {
  const bool newline = argv.size() < 2 || argv[1] != "-n";
  const std::size_t first = newline ? 1 : 2;
  std::string out;
  for (std::size_t i = first; i < argv.size(); ++i) out += (i > first ? " " : "") + argv[i];
  say(out + (newline ? "\n" : ""));
  return 0;
}

int do_export(Shell& shell, const Words& argv) {
  const bool list = argv.size() < 2 || argv[1] == "-p";
  if (list)
    for (const std::string& variable : shell.variables().list(false)) say("export " + variable + "\n");
  for (std::size_t i = 1; !list && i < argv.size(); ++i) {
    const std::string assigned(assignment_name(argv[i]));
    if (assigned.empty() && !is_name(argv[i])) throw std::runtime_error(fmt::format("export: {}: not a name", argv[i]));
    if (!assigned.empty()) shell.assign(assigned, argv[i].substr(assigned.size() + 1));
    shell.variables().export_name(assigned.empty() ? argv[i] : assigned);
  }
  return 0;
}

int do_unset(Shell& shell, const Words& argv) {
  const bool option = argv.size() > 1 && (argv[1] == "-f" || argv[1] == "-v");
  const bool function = option && argv[1] == "-f";
  for (std::size_t i = option ? 2 : 1; i < argv.size(); ++i)
    function ? shell.forget_function(argv[i]) : shell.variables().unset(argv[i]);
  return 0;
}

int do_set(Shell& shell, const Words& argv) {
  if (argv.size() == 1) {
    for (const std::string& variable : shell.variables().list(true)) say(variable + "\n");
    return 0;
  }
  if (argv[1] == "-e" || argv[1] == "+e") {
    shell.set_stop_at_failure(argv[1] == "-e");
  } else if (argv[1] == "--" || argv[1].find_first_of("-+") != 0) {
    shell.set_parameters({argv.begin() + (argv[1] == "--" ? 2 : 1), argv.end()});
  } else {
    throw std::runtime_error(fmt::format("set: {}: no such option; there are -e, +e and --", argv[1]));
  }
  return 0;
}

int do_shift(Shell& shell, const Words& argv) {
  const long count = number(argv, 1, 1);
  if (count < 0 || static_cast<std::size_t>(count) > shell.parameters().size())
    throw std::runtime_error("shift: there are not so many parameters");
  shell.drop_parameters(static_cast<std::size_t>(count));
  return 0;
}

int do_exit(Shell& shell, const Words& argv) {
  const long status = number(argv, 1, shell.status());
  if (shell.interactive() && !shell.may_exit()) return 1;
  throw Leave{Leave::To::End, static_cast<int>(status & 0xff)};
}

int do_return(Shell& shell, const Words& argv) {
  throw Leave{Leave::To::Caller, static_cast<int>(number(argv, 1, shell.status()) & 0xff)};
}

int do_break(Shell&, const Words& argv) {
  const long turns = std::clamp(number(argv, 1, 1), 1L, static_cast<long>(INT_MAX));
  throw Leave{argv[0] == "break" ? Leave::To::LoopEnd : Leave::To::NextTurn, static_cast<int>(turns)};
}

int do_history(Shell& shell, const Words& argv) {
  auto& lines = shell.history();
  if (argv.size() > 1 && argv[1] == "-c") {
    lines.clear();
    return 0;
  }
  const auto most = static_cast<std::size_t>(std::max(0L, number(argv, 1, LONG_MAX)));
  for (std::size_t i = lines.size() - std::min(most, lines.size()); i < lines.size(); ++i)
    say(fmt::format("{:5}  {}\n", i + 1, lines[i]));
  return 0;
}

int do_eval(Shell& shell, const Words& argv) {
  std::string script;
  for (std::size_t i = 1; i < argv.size(); ++i) script += (i > 1 ? " " : "") + argv[i];
  return shell.run_script(script);
}

int do_source(Shell& shell, const Words& argv) {
  if (argv.size() < 2) throw std::runtime_error(fmt::format("{}: which file?", argv[0]));
  std::ifstream file(argv[1]);
  if (!file) throw std::runtime_error(fmt::format("{}: {}: {}", argv[0], argv[1], std::strerror(errno)));
  const std::string script((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  try {
    return shell.run_script(script);
  } catch (const Leave& leave) {
    if (leave.to != Leave::To::Caller) throw;
    return leave.value;
  }
}

// A line, byte by byte: the rest of the input is the next command's.
int do_read(Shell& shell, const Words& argv) {
  const bool raw = argv.size() > 1 && argv[1] == "-r";
  std::string line;
  char byte = 0;
  bool more = false;
  const auto next = [&] {
    ssize_t n = 0;
    while ((n = ::read(STDIN_FILENO, &byte, 1)) < 0 && errno == EINTR) {
      check_interrupted();
      shell.run_traps();
    }
    return more = n > 0;
  };
  while (next() && byte != '\n') {
    if (byte == '\\' && !raw && (!next() || byte == '\n')) continue;
    line += byte;
  }
  check_interrupted();
  const char* const blanks = " \t";
  std::size_t at = std::min(line.find_first_not_of(blanks), line.size());
  for (std::size_t i = raw ? 2 : 1; i < argv.size(); ++i) {
    const bool last = i + 1 == argv.size();
    const std::size_t end =
        last ? line.find_last_not_of(blanks) + 1 : std::min(line.find_first_of(blanks, at), line.size());
    shell.assign(argv[i], at < end ? line.substr(at, end - at) : "");
    at = std::min(line.find_first_not_of(blanks, end), line.size());
  }
  return more ? 0 : 1;
}

int do_type(Shell& shell, const Words& argv) {
  int status = 0;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    int error = 0;
    const std::string path = find_program(argv[i], error);
    if (const auto alias = shell.aliases().find(argv[i]); alias != shell.aliases().end()) {
      say(fmt::format("{} is an alias for {}\n", argv[i], alias->second));
    } else if (shell.has_function(argv[i])) {
      say(argv[i] + " is a function\n");
    } else if (argv[i] == "on" || argv[i] == "exec" || find_builtin(argv[i]) != nullptr) {
      say(argv[i] + " is of the shell\n");
    } else if (!path.empty()) {
      say(fmt::format("{} is {}\n", argv[i], path));
    } else {
      tell("drover shell: type: {}: not found\n", argv[i]);
      status = 1;
    }
  }
  return status;
}

}  // namespace

void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) {
      check_interrupted();
      continue;
    }
    if (n <= 0) throw std::runtime_error(fmt::format("stdout: {}", std::strerror(errno)));
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

static const std::map<std::string, Builtin>& all_builtins() {
  static const std::map<std::string, Builtin> all = {
      {":", do_nothing},      {"true", do_nothing},     {"false", do_false},        {"cd", do_cd},
      {"pwd", do_pwd},        {"echo", do_echo},        {"export", do_export},      {"unset", do_unset},
      {"set", do_set},        {"shift", do_shift},      {"exit", do_exit},          {"return", do_return},
      {"break", do_break},    {"continue", do_break},   {"history", do_history},    {"eval", do_eval},
      {".", do_source},       {"source", do_source},    {"read", do_read},          {"type", do_type},
      {"jobs", builtin_jobs}, {"fg", builtin_fg},       {"bg", builtin_bg},         {"wait", builtin_wait},
      {"kill", builtin_kill}, {"umask", builtin_umask}, {"ulimit", builtin_ulimit}, {"test", builtin_test},
      {"[", builtin_test},    {"trap", builtin_trap},   {"alias", builtin_alias},   {"unalias", builtin_unalias}};
  return all;
}

Builtin find_builtin(const std::string& name) {
  const auto found = all_builtins().find(name);
  return found == all_builtins().end() ? nullptr : found->second;
}

std::vector<std::string> builtin_names() {
  std::vector<std::string> names = {"on", "exec"};
  for (const auto& [name, builtin] : all_builtins()) names.push_back(name);
  return names;
}

}  // namespace drover::shell
