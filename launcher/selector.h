// Which jobs a command is for: words such as 7, 3-9,12, last and all, narrowed by --name and --state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/commands/commands.h"

namespace drover {

struct JobSelector {
  enum class Kind { Number, Range, Last, All };
  struct Term {
    Kind kind;
    long first, last;  // of Number and Range
    std::string text;
  };
  std::vector<Term> terms;          // a job is meant if one of them means it
  std::optional<std::string> name;  // a pattern as in the shell, which the job's name must match
  std::vector<std::string> states;  // one of which the job must have; any if empty

  bool empty() const { return terms.empty() && !name && states.empty(); }
  // Then the ids are known without asking.
  bool only_numbers() const;
  bool has(Kind kind) const;
  std::string text() const;  // as it was typed
};

// The jobs meant where no word says which and no --state does.
enum class Scope { Unfinished, Everything };

// What is added to a command's options.
struct SelectorOptions {
  std::vector<std::string> words;
  std::optional<std::string> name;
  std::vector<std::string> states;

  void add_to(CLI::App& command, const std::string& help);
  JobSelector selector() const;  // throws UsageError
};

// Those of `jobs` (JOBs of PROTOCOL.md, ended ones too) that are meant, each once, in the order of the words; `node` is
// the one whose `last` is meant. Throws std::runtime_error if a term means none.
std::vector<Json> choose_jobs(const JobSelector& selector, Scope scope, const Json& jobs, const std::string& node);

// Asks a droverd for its jobs and, if there are numbers of which it has none, for those of the archive.
std::vector<Json> selected_jobs(const Context& context, const JobSelector& selector, Scope scope);
// Those of the archive with ids from `first` to `last`, of which the ones that ended before `since_ns` may be left out.
Json archived_jobs(const Context& context, long first, long last, std::uint64_t since_ns);
// Adds those of `more` that `jobs` has not, and sorts them by id.
void add_missing(Json& jobs, const Json& more);
// Asks only if it must: whether a number is a job's is then for the operation to say.
std::vector<long> selected_ids(const Context& context, const JobSelector& selector, Scope scope);

// Of a command that is for one job only.
long single_job(const Context& context, const JobSelector& selector, const char* command);

long job_id(const Json& job);
// For --output quiet: one a line; `jobs` is an array of JOBs.
void print_ids(const Json& jobs);
// Throws std::runtime_error: no job is what was typed.
[[noreturn]] void throw_no_job(const JobSelector& selector);

}  // namespace drover
