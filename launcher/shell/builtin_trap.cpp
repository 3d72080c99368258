// trap, alias, unalias
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "launcher/job_text.h"
#include "launcher/shell/builtins.h"
#include "launcher/shell/shell.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

using Words = std::vector<std::string>;

// In quotes, whatever is in it: to be read again as one word.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? R"('\'')" : std::string{c};
  return out + "'";
}

void print_traps(const Traps& traps) {
  for (const auto& [signal, action] : traps.shown())
    say(fmt::format("trap -- {} {}\n", quoted(action), signal_name(signal)));
}

bool is_number(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool is_alias_name(const std::string& name) {
  return !name.empty() && name.find_first_of(" \t\n\r/$`'\"\\=|&;<>()#") == std::string::npos;
}

std::string alias_line(const std::string& name, const std::string& text) {
  return fmt::format("{}={}\n", name, quoted(text));
}

}  // namespace

int builtin_trap(Shell& shell, const Words& argv) {
  const std::size_t first = argv.size() > 1 && argv[1] == "--" ? 2 : 1;
  if (argv.size() == first) {
    print_traps(shell.traps());
    return 0;
  }
  // Without an action, or with -, they are as before.
  const bool only_signals = argv.size() == first + 1 || is_number(argv[first]);
  const bool resets = only_signals || argv[first] == "-";
  int status = 0;
  for (std::size_t i = only_signals ? first : first + 1; i < argv.size(); ++i) try {
      const int signal = signal_number(argv[i]);
      if (resets)
        shell.traps().reset(signal);
      else
        shell.traps().set(signal, argv[first], !shell.interactive());
    } catch (const std::runtime_error& error) {
      tell("drover shell: trap: {}\n", error.what());
      status = 1;
    }
  return status;
}

int builtin_alias(Shell& shell, const Words& argv) {
  Aliases& aliases = shell.aliases();
  if (argv.size() == 1)
    for (const auto& [name, text] : aliases) say(alias_line(name, text));
  int status = 0;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const auto equals = argv[i].find('=');
    const std::string name = argv[i].substr(0, equals);
    if (equals != std::string::npos) {
      if (!is_alias_name(name)) throw std::runtime_error(fmt::format("alias: {}: can't be a name of one", name));
      aliases[name] = argv[i].substr(equals + 1);
    } else if (const auto found = aliases.find(name); found != aliases.end()) {
      say(alias_line(name, found->second));
    } else {
      tell("drover shell: alias: {}: there is none of that name\n", name);
      status = 1;
    }
  }
  return status;
}

int builtin_unalias(Shell& shell, const Words& argv) {
  if (argv.size() < 2) throw std::runtime_error("unalias: which one? -a: all");
  if (argv[1] == "-a") {
    shell.aliases().clear();
    return 0;
  }
  int status = 0;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    if (shell.aliases().erase(argv[i]) != 0) continue;
    tell("drover shell: unalias: {}: there is none of that name\n", argv[i]);
    status = 1;
  }
  return status;
}

}  // namespace drover::shell
