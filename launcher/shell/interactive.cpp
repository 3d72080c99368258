#include "launcher/shell/interactive.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <optional>

#include "launcher/shell/builtins.h"
#include "launcher/shell/editor.h"
#include "launcher/shell/job_list.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

// HISTFILE, else beside what else Drover keeps of its user.
std::string history_file(Shell& shell) {
  if (const auto file = shell.value("HISTFILE")) return *file;
  const auto state = shell.value("XDG_STATE_HOME"), home = shell.value("HOME");
  if (state && !state->empty()) return *state + "/drover/shell_history";
  return home ? *home + "/.local/state/drover/shell_history" : "";
}

// "node1 (FREE) ~/dir $ "
class Prompt {
 public:
  explicit Prompt(Shell& shell) : shell_(shell) {}

  std::string text() {
    std::error_code ignored;
    std::string directory = std::filesystem::current_path(ignored).string();
    const std::string home = shell_.value("HOME").value_or("");
    if (home.size() > 1 && directory.rfind(home, 0) == 0 &&
        (directory.size() == home.size() || directory[home.size()] == '/'))
      directory.replace(0, home.size(), "~");
    return fmt::format("{} {} $ ", node_text(), directory);
  }

 private:
  using Clock = std::chrono::steady_clock;

  // A droverd that does not answer is not asked again at once: nobody wants to wait for each prompt.
  std::string node_text() {
    if (Clock::now() < ask_again_) return name_ + " (no answer)";
    const auto [node, state] = ask_node_state(shell_.context());
    if (!node.empty()) name_ = node;
    if (!state.empty()) return fmt::format("{} ({})", name_, state);
    if (!node.empty()) ask_again_ = Clock::now() + std::chrono::seconds(10);
    return name_ + (node.empty() ? " (no droverd)" : " (no answer)");
  }

  Shell& shell_;
  std::string name_ = "drover";
  Clock::time_point ask_again_;
};

// Lines until they are a command, or wrong.
std::optional<std::string> read_command(Editor& editor, const std::string& prompt, const Aliases& aliases,
                                        Editor::Result& result) {
  std::string command;
  for (;;) {
    std::string line;
    result = editor.read(command.empty() ? prompt : "> ", line);
    if (result != Editor::Result::Line) return std::nullopt;
    command += line + "\n";
    try {
      (void)parse(command, aliases);
    } catch (const Incomplete&) {
      continue;
    } catch (const SyntaxError&) {
    }
    command.pop_back();
    return command;
  }
}

Completions completions(Shell& shell) {
  Completions known;
  known.commands = [&shell] {
    auto names = programs_of(shell.value("PATH").value_or(""));
    for (const auto& more : {builtin_names(), shell.function_names()})
      names.insert(names.end(), more.begin(), more.end());
    for (const auto& [name, text] : shell.aliases()) names.push_back(name);
    for (const char* word : {"if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "case", "esac"})
      names.emplace_back(word);
    return names;
  };
  known.variables = [&shell] {
    std::vector<std::string> names;
    for (const std::string& line : shell.variables().list(true)) names.push_back(line.substr(0, line.find('=')));
    return names;
  };
  known.home = shell.value("HOME").value_or("");
  return known;
}

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\n") == std::string::npos; }

}  // namespace

static int run_prompt(Shell& shell) {
  shell.take_terminal();
  Editor editor(history_file(shell), completions(shell));
  shell.history() = editor.lines();
  Prompt prompt(shell);
  for (;;) {
    shell.tell_of_jobs();
    (void)take_interrupted();
    try {
      shell.run_traps();
    } catch (const Leave& leave) {
      if (leave.to == Leave::To::End) return leave.value;
    }
    auto result = Editor::Result::Line;
    const auto command = read_command(editor, prompt.text(), shell.aliases(), result);
    if (result == Editor::Result::Trapped) {
      tell("\n");
    } else if (result == Editor::Result::Interrupted) {
      tell("\n");
      shell.set_status(130);
    } else if (result == Editor::Result::End) {
      tell("\n");
      if (editor.hung_up()) {
        shell.hang_up();
        return 129;
      }
      if (shell.may_exit()) return shell.status();
    } else if (!is_blank(*command)) {
      editor.remember(*command);
      shell.history().push_back(*command);
      try {
        shell.run_script(*command);
      } catch (const Leave& leave) {
        shell.set_status(leave.value);
        if (leave.to == Leave::To::End) return leave.value;
      } catch (const std::exception& error) {
        tell("drover shell: {}\n", error.what());
        shell.set_status(1);
      }
    }
  }
}

int run_interactive(Shell& shell) { return shell.end(run_prompt(shell)); }

}  // namespace drover::shell
