#include "launcher/completion/complete.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstring>

namespace drover {

namespace {

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-' && word != "--"; }

// How far the words before the last one have been understood.
struct Walk {
  const CLI::App& app;
  const CLI::App* command;
  std::string at;                          // --at
  std::size_t positionals = 0;             // how many are there
  const CLI::Option* valueless = nullptr;  // the last word is this option's value
  std::size_t program = 0;                 // where the program begins, if that is before the last word
};

const CLI::Option* find_option(const Walk& walk, const std::string& name) {
  for (const CLI::App* app : {walk.command, &walk.app})
    for (const CLI::Option* option : app->get_options())
      if (!option->get_positional() && option->check_name(name)) return option;
  return nullptr;
}

bool takes_value(const CLI::Option* option) { return option != nullptr && option->get_items_expected_max() > 0; }

const CLI::App* find_command(const CLI::App& parent, const std::string& name) {
  for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; }))
    if (command->get_name() == name) return command;
  return nullptr;
}

// The rest of the line belongs to a program.
bool runs_program(const CLI::App& command) { return command.get_option_no_throw("PROGRAM") != nullptr; }

// Understands the option at `i`; returns the index after it and its value.
std::size_t walk_option(Walk& walk, const std::vector<std::string>& words, std::size_t i) {
  const std::string& word = words[i];
  const bool is_long = starts_with(word, "--");
  const auto equals = is_long ? word.find('=') : std::string::npos;
  const CLI::Option* option = find_option(walk, word.substr(0, equals));
  const bool is_at = takes_value(option) && option->check_name("--at");
  if (equals != std::string::npos) {
    if (is_at) walk.at = word.substr(equals + 1);
    return i + 1;
  }
  if (!takes_value(option)) return i + 1;
  if (i + 2 == words.size()) {
    walk.valueless = option;
  } else if (is_at) {
    walk.at = words[i + 1];
  }
  return i + 2;
}

// False if a word before the last one is no command.
bool walk_words(Walk& walk, const std::vector<std::string>& words) {
  for (std::size_t i = 0; i + 1 < words.size();) {
    if (is_option(words[i])) {
      i = walk_option(walk, words, i);
      continue;
    }
    if (runs_program(*walk.command)) {
      walk.program = words[i] == "--" ? i + 1 : i;
      return true;
    }
    if (const CLI::App* command = find_command(*walk.command, words[i]))
      walk.command = command;
    else if (walk.command == &walk.app)
      return false;
    else
      ++walk.positionals;
    ++i;
  }
  return true;
}

void add(Completion& completion, const std::string& prefix, std::string word, std::string description) {
  if (!starts_with(word, prefix)) return;
  for (const Candidate& there : completion.words)
    if (there.word == word) return;
  completion.words.push_back({std::move(word), std::move(description)});
}

void add_commands(Completion& completion, const std::string& prefix, const CLI::App& parent) {
  for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; }))
    add(completion, prefix, command->get_name(), command->get_description());
}

void add_options(Completion& completion, const std::string& prefix, const Walk& walk) {
  for (const CLI::App* app : {walk.command, &walk.app})
    for (const CLI::Option* option : app->get_options()) {
      if (app != walk.command && option == walk.app.get_version_ptr()) continue;  // of no use behind a command
      for (const std::string& name : option->get_lnames())
        add(completion, prefix, "--" + name, option->get_description());
      if (prefix.size() < 2 || prefix[1] == '-') continue;
      for (const std::string& name : option->get_snames())
        add(completion, prefix, "-" + name, option->get_description());
    }
}

void add_signals(Completion& completion, const std::string& prefix) {
  for (int signal = 1; signal < NSIG; ++signal)
    if (const char* name = ::sigabbrev_np(signal); name != nullptr)
      add(completion, prefix, name, ::sigdescr_np(signal));
}

// A type as the help shows it: "NODE", "FORMAT:{table,json}", "INT in [1 - 4096]"; a positional's is its name.
Completion complete_value(const CLI::Option& option, const std::string& prefix, const Walk& walk, const Ask& ask) {
  Completion completion;
  const std::string type = option.get_type_name(), name = option.get_positional() ? option.get_name(true) : type;
  const auto open = type.find('{'), close = type.find('}');
  if (open != std::string::npos && close != std::string::npos) {
    for (const std::string& word : CLI::detail::split(type.substr(open + 1, close - open - 1), ','))
      add(completion, prefix, word, "");
  } else if (name == "JOB" || name == "NODE") {
    const bool here = option.check_name("--at");  // there may be a socket of a droverd that does not answer
    for (const Candidate& found : ask(here ? "NODE of this host" : name, walk.command->get_name(), walk.at))
      add(completion, prefix, found.word, found.description);
  } else if (name == "SIG") {
    add_signals(completion, prefix);
  } else if (starts_with(type, "DIR")) {
    completion.kind = Completion::Kind::Directories;
  } else if (!starts_with(type, "INT") && !starts_with(type, "UINT") && !starts_with(type, "FLOAT") &&
             type.find(" in [") == std::string::npos) {
    completion.kind = Completion::Kind::Files;
  }
  return completion;
}

const CLI::Option* positional(const CLI::App& command, std::size_t index) {
  const CLI::Option* last = nullptr;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    last = option;
    if (index-- == 0) return option;
  }
  return last != nullptr && last->get_items_expected_max() > 1 ? last : nullptr;
}

Completion complete_argument(const Walk& walk, const std::string& prefix, const Ask& ask) {
  Completion completion;
  const CLI::Option* argument = positional(*walk.command, walk.positionals);
  if (argument != nullptr) completion = complete_value(*argument, prefix, walk, ask);
  if (walk.positionals == 0) add_commands(completion, prefix, *walk.command);
  if (argument == nullptr && completion.words.empty() && prefix.empty()) add_options(completion, "--", walk);
  return completion;
}

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& words, const Ask& ask) {
  Walk walk{app, &app, "", 0, nullptr, 0};
  if (words.empty() || !walk_words(walk, words)) return {};
  const std::string& word = words.back();
  if (walk.program > 0) return {Completion::Kind::Program, {}, walk.program};
  if (walk.valueless != nullptr) return complete_value(*walk.valueless, word, walk, ask);
  const auto equals = starts_with(word, "--") ? word.find('=') : std::string::npos;
  if (equals != std::string::npos) {
    const CLI::Option* option = find_option(walk, word.substr(0, equals));
    return takes_value(option) ? complete_value(*option, word.substr(equals + 1), walk, ask) : Completion{};
  }
  if (!word.empty() && word[0] == '-') {
    Completion completion;
    add_options(completion, word, walk);
    return completion;
  }
  if (runs_program(*walk.command)) return {Completion::Kind::Program, {}, words.size() - 1};
  return complete_argument(walk, word, ask);
}

}  // namespace drover
