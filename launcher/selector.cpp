#include "launcher/selector.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <set>

#include "launcher/job_text.h"

namespace drover {

namespace {

using Kind = JobSelector::Kind;

std::optional<long> parse_number(std::string_view text) {
  long number = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number < 0) return std::nullopt;
  return number;
}

JobSelector::Term parse_term(const std::string& text) {
  if (text == "last") return {Kind::Last, 0, 0, text};
  if (text == "all") return {Kind::All, 0, 0, text};
  if (const auto number = parse_number(text)) return {Kind::Number, *number, *number, text};
  const std::size_t dash = text.find('-');
  const auto first = parse_number(std::string_view(text).substr(0, dash));
  const auto last = dash == std::string::npos ? std::nullopt : parse_number(std::string_view(text).substr(dash + 1));
  if (!first || !last)
    throw UsageError(fmt::format("'{}' names no jobs; give ids as 7 or 3-9,12, or last, or all; see drover ps", text));
  if (*first > *last) throw UsageError(fmt::format("'{}' ends before it begins; write {}-{}", text, *last, *first));
  return {Kind::Range, *first, *last, text};
}

bool unfinished(const Json& job) { return !is_final_state(job.value("state", "")); }

// Who asks for what failed means programs that failed, too, not only those that could not be started.
bool is_in_state(const Json& job, const std::string& state) {
  const std::string its = job.value("state", "");
  return its == state ||
         (state == "failed" && its == "ended" && (job.value("exit", 0) != 0 || job.value("signal", 0) != 0));
}

bool matches_options(const JobSelector& selector, const Json& job) {
  const std::string name = job.value("name", "");
  if (selector.name && ::fnmatch(selector.name->c_str(), name.c_str(), 0) != 0) return false;
  return selector.states.empty() || std::any_of(selector.states.begin(), selector.states.end(),
                                                [&](const std::string& state) { return is_in_state(job, state); });
}

std::vector<Json> last_job(const Json& jobs, const std::string& node) {
  const Json* last = nullptr;
  for (const Json& job : jobs)
    if (job.value("origin", "") == node && job.value("array", 0L) == 0 &&
        (last == nullptr || job_id(job) > job_id(*last)))
      last = &job;
  if (last == nullptr)
    throw std::runtime_error(fmt::format("last: no job was submitted at {}; see drover ps --all, or try --at", node));
  return {*last};
}

std::vector<Json> jobs_of(const JobSelector::Term& term, const Json& jobs, const std::string& node) {
  if (term.kind == Kind::Last) return last_job(jobs, node);
  std::vector<Json> out;
  std::copy_if(jobs.begin(), jobs.end(), std::back_inserter(out), [&](const Json& job) {
    return term.kind == Kind::All ? unfinished(job) : job_id(job) >= term.first && job_id(job) <= term.last;
  });
  if (out.empty() && term.kind != Kind::All)
    throw std::runtime_error(
        fmt::format("job{} {}: no such job; see drover ps --all", term.kind == Kind::Range ? "s" : "", term.text));
  return out;
}

// Each id where it was named last: `wait 7 8 7` ends as 7 did.
template <class T, class Id>
std::vector<T> each_once(const std::vector<T>& all, Id id_of) {
  std::vector<T> out;
  std::set<long> seen;
  for (auto item = all.rbegin(); item != all.rend(); ++item)
    if (seen.insert(id_of(*item)).second) out.push_back(*item);
  std::reverse(out.begin(), out.end());
  return out;
}

// Whether `jobs` lack a job that the term's numbers name.
bool has_gap(const JobSelector::Term& term, const Json& jobs) {
  if (term.kind != Kind::Number && term.kind != Kind::Range) return false;
  const auto known = std::count_if(
      jobs.begin(), jobs.end(), [&](const Json& job) { return job_id(job) >= term.first && job_id(job) <= term.last; });
  return known <= term.last - term.first;
}

// Whether jobs that have ended can be among those meant.
bool needs_ended(const JobSelector& selector, Scope scope) {
  if (selector.terms.empty()) return scope == Scope::Everything || !selector.states.empty();
  return std::any_of(selector.terms.begin(), selector.terms.end(),
                     [](const auto& term) { return term.kind != Kind::All; });
}

}  // namespace

long single_job(const Context& context, const JobSelector& selector, const char* command) {
  if (selector.empty())
    throw UsageError(fmt::format("{}: no job given; write its id, or last; see drover ps --all", command));
  const std::vector<long> jobs = selected_ids(context, selector, Scope::Everything);
  if (jobs.empty()) throw_no_job(selector);
  if (jobs.size() > 1)
    throw UsageError(fmt::format("{}: {} means {} jobs ({}); give one", command, selector.text(), jobs.size(),
                                 fmt::join(jobs, ", ")));
  return jobs.front();
}

long job_id(const Json& job) { return job.value("job", 0L); }

void print_ids(const Json& jobs) {
  for (const Json& job : jobs) fmt::print("{}\n", job_id(job));
}

bool JobSelector::only_numbers() const {
  return !terms.empty() && !name && states.empty() &&
         std::all_of(terms.begin(), terms.end(), [](const Term& term) { return term.kind == Kind::Number; });
}

bool JobSelector::has(Kind kind) const {
  return std::any_of(terms.begin(), terms.end(), [kind](const Term& term) { return term.kind == kind; });
}

std::string JobSelector::text() const {
  std::vector<std::string> words;
  for (const Term& term : terms) words.push_back(term.text);
  if (name) words.push_back("--name " + shell_command({*name}));
  for (const std::string& state : states) words.push_back("--state " + state);
  return fmt::format("{}", fmt::join(words, " "));
}

void SelectorOptions::add_to(CLI::App& command, const std::string& help) {
  command.add_option("JOB", words, help)->type_name("7 | 3-9,12 | last | all");
  command.add_option("--name", name, "Only jobs whose name matches, as in 'make-*'")->type_name("GLOB");
  command.add_option("--state", states, "Only jobs in this state (repeatable, or a list with commas)")
      ->type_name("STATE")
      ->delimiter(',')
      ->expected(1)
      ->allow_extra_args(false)  // else it takes the words after it for states, too
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(
          CLI::IsMember({"queued", "starting", "running", "moving", "held", "in-doubt", "ended", "failed", "lost"}));
}

JobSelector SelectorOptions::selector() const {
  JobSelector selector{{}, name, states};
  for (const std::string& word : words) {
    std::size_t begin = 0;
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
      end = word.find(',', begin);
      selector.terms.push_back(parse_term(word.substr(begin, end - begin)));
    }
  }
  return selector;
}

std::vector<Json> choose_jobs(const JobSelector& selector, Scope scope, const Json& jobs, const std::string& node) {
  std::vector<Json> meant;
  for (const JobSelector::Term& term : selector.terms)
    for (Json& job : jobs_of(term, jobs, node)) meant.push_back(std::move(job));
  if (selector.terms.empty())
    std::copy_if(jobs.begin(), jobs.end(), std::back_inserter(meant),
                 [&](const Json& job) { return needs_ended(selector, scope) || unfinished(job); });
  std::erase_if(meant, [&](const Json& job) { return !matches_options(selector, job); });
  return each_once(meant, job_id);
}

std::vector<Json> selected_jobs(const Context& context, const JobSelector& selector, Scope scope) {
  Client client = context.connect();
  const bool only_last =
      !selector.terms.empty() && std::all_of(selector.terms.begin(), selector.terms.end(),
                                             [](const auto& term) { return term.kind == Kind::Last; });
  Json jobs = client.request({{"op", "ps"}, {"all", needs_ended(selector, scope)}, {"last", only_last}}).at("jobs");
  for (const JobSelector::Term& term : selector.terms)
    if (has_gap(term, jobs)) add_missing(jobs, archived_jobs(context, term.first, term.last, 0));
  return choose_jobs(selector, scope, jobs, client.node());
}

Json archived_jobs(const Context& context, long first, long last, std::uint64_t since_ns) {
  return context.connect()
      .request({{"op", "past"}, {"first", first}, {"last", last}, {"since_ns", since_ns}})
      .at("jobs");
}

void add_missing(Json& jobs, const Json& more) {
  std::set<long> known;
  for (const Json& job : jobs) known.insert(job_id(job));
  std::copy_if(more.begin(), more.end(), std::back_inserter(jobs),
               [&](const Json& job) { return known.insert(job_id(job)).second; });
  std::sort(jobs.begin(), jobs.end(), [](const Json& a, const Json& b) { return job_id(a) < job_id(b); });
}

std::vector<long> selected_ids(const Context& context, const JobSelector& selector, Scope scope) {
  std::vector<long> ids;
  if (selector.only_numbers()) {
    for (const JobSelector::Term& term : selector.terms) ids.push_back(term.first);
    return each_once(ids, [](long id) { return id; });
  }
  for (const Json& job : selected_jobs(context, selector, scope)) ids.push_back(job_id(job));
  return ids;
}

void throw_no_job(const JobSelector& selector) {
  throw std::runtime_error(fmt::format("{}: no such job; see drover ps --all", selector.text()));
}

}  // namespace drover
