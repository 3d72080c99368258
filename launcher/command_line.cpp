#include "launcher/command_line.h"

namespace drover {

namespace {

const CLI::Option* find_option(const CLI::App& command, const CLI::App& app, const std::string& name) {
  const CLI::Option* option = command.get_option_no_throw(name);
  return option != nullptr ? option : app.get_option_no_throw(name);
}

// Words that the option beginning `word` takes, itself included: 2 for "-O FILE", 1 for "-OFILE", "--stdout=FILE" and
// flags.
std::size_t words_of_option(const CLI::App& command, const CLI::App& app, const std::string& word) {
  const bool is_long = word.compare(0, 2, "--") == 0;
  if (is_long && word.find('=') != std::string::npos) return 1;
  if (!is_long && word.size() > 2) return 1;
  const CLI::Option* option = find_option(command, app, word);
  return option != nullptr && option->get_items_expected_max() > 0 ? 2 : 1;
}

// The first word from `begin` on that is neither an option nor an option's value; "--" is one.
std::size_t skip_options(const CLI::App& command, const CLI::App& app, const std::vector<std::string>& words,
                         std::size_t begin) {
  while (begin < words.size() && words[begin].size() > 1 && words[begin][0] == '-' && words[begin] != "--")
    begin += words_of_option(command, app, words[begin]);
  return std::min(begin, words.size());
}

}  // namespace

CommandLine split_command_line(CLI::App& app, const std::vector<std::string>& words) {
  const std::size_t at = skip_options(app, app, words, 0);
  if (at == words.size() || (words[at] != "run" && words[at] != "submit" && words[at] != "shell")) return {words, {}};
  const std::size_t end = skip_options(*app.get_subcommand(words[at]), app, words, at + 1);
  const std::size_t begin = end < words.size() && words[end] == "--" ? end + 1 : end;
  return {{words.begin(), words.begin() + static_cast<std::ptrdiff_t>(end)},
          {words.begin() + static_cast<std::ptrdiff_t>(begin), words.end()}};
}

}  // namespace drover
