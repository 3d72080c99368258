// What may come next on a command line of drover's: for the completion of bash and zsh, which ask with
//
//   drover __complete WORDS...
//
// WORDS are those after "drover" up to the cursor; the last one, maybe empty, is to be completed. The answer's first
// line is what to offer: "words" (a candidate in each of the other lines, and maybe a tab and its description),
// "files", "directories", or "program N": WORDS from the index N on are a command line of its own. Of an option's value
// that is written --option=VALUE only the value counts.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>
#include <vector>

namespace drover {

struct Candidate {
  std::string word, description;
};

struct Completion {
  enum class Kind { Words, Files, Directories, Program };
  Kind kind = Kind::Words;
  std::vector<Candidate> words;  // of Words
  std::size_t program = 0;       // of Program: its index
};

// Asks the cluster at node `at` (empty: any of this host) for what fits the type: "JOB" or "NODE" of `command`.
using Ask =
    std::function<std::vector<Candidate>(const std::string& type, const std::string& command, const std::string& at)>;

Completion complete(const CLI::App& app, const std::vector<std::string>& words, const Ask& ask);

// `drover __complete`: prints the answer. Silent, whatever goes wrong, and over within the time that a person would
// wait. Returns the exit code.
int print_completion(const CLI::App& app, const std::vector<std::string>& words);

// The script for "bash" or "zsh".
const char* completion_script(const std::string& shell);

}  // namespace drover
