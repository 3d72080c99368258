// drover submit: starts a job in the background and prints its id.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "launcher/array_option.h"
#include "launcher/command_lines.h"
#include "launcher/commands/commands.h"
#include "launcher/dry_run.h"
#include "launcher/job_spec.h"
#include "launcher/script.h"

namespace drover {

namespace {

// What a script's directives may set, too.
struct SubmitOptions : JobOptions {
  std::string stdin_path, stdout_path, stderr_path;
  ArrayOption array;
  bool hold = false;
  bool one_of_several = false;  // directives: only together do they say all

  void add_to(CLI::App& command);
  Json spec(const std::vector<std::string>& argv) const;
};

void SubmitOptions::add_to(CLI::App& command) {
  JobOptions::add_to(command);
  command.add_option("-i,--stdin", stdin_path, "File to read from (default: nothing to read)")->type_name("FILE");
  command
      .add_option("-O,--stdout", stdout_path,
                  "File to write to, %j in it being the job's id, %n its name and %a its index in an array (default: "
                  "kept for drover "
                  "logs)")
      ->type_name("FILE");
  command.add_option("-e,--stderr", stderr_path, "File for errors, in the same way (default: kept for drover logs)")
      ->type_name("FILE");
  command
      .add_option(
          "--array", array.indices,
          "A task for each of these indices, which it finds in DROVER_ARRAY_INDEX; with %20 at most 20 at a time")
      ->type_name("1-1000%20");
  command
      .add_option("--each-line", array.lines_file,
                  "A task for each line of that file (- for standard input), which it finds in DROVER_ARRAY_ITEM")
      ->type_name("FILE");
  command.add_option("--each-json", array.json_file, "The same for each element of a list in JSON")->type_name("FILE");
  command.add_option("--at-most", array.at_most, "Of an array's tasks, so many at a time")
      ->type_name("N")
      ->check(CLI::Range(1, 1000000));
  command.add_flag("--hold", hold, "It waits until drover release");
}

// Tasks of one array must not write over each other.
void check_array_output(const std::string& option, const std::string& pattern) {
  const bool differs = pattern.find("%a") != std::string::npos || pattern.find("%j") != std::string::npos;
  if (!pattern.empty() && !differs && pattern != "/dev/null")
    throw UsageError(fmt::format("{} {}: all tasks would write over each other; put %a, the task's index, into it",
                                 option, pattern));
}

Json SubmitOptions::spec(const std::vector<std::string>& argv) const {
  Json spec = JobOptions::spec(argv);
  spec["hold"] = hold;
  const auto job_name = spec.at("name").get<std::string>();
  const bool task = array.given() || one_of_several;
  spec["stdin"] = absolute_pattern("--stdin", stdin_path, job_name, task);
  spec["stdout"] = absolute_pattern("--stdout", stdout_path, job_name, task);
  spec["stderr"] = absolute_pattern("--stderr", stderr_path, job_name, task);
  if (one_of_several) return spec;
  if (task) {
    check_array_output("--stdout", stdout_path);
    check_array_output("--stderr", stderr_path);
  }
  array.add_to(spec);
  return spec;
}

// The options of directives, as a command of their own.
struct DirectiveParser {
  CLI::App app{"", "submit"};
  SubmitOptions options;

  DirectiveParser() {
    app.set_help_flag();
    options.add_to(app);
    for (CLI::Option* option : app.get_options())
      if (option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw)
        option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }

  void parse(std::vector<std::string> words) {
    std::reverse(words.begin(), words.end());  // as CLI11 wants it
    app.parse(std::move(words));
    if (!options.program_for_help.empty())
      throw UsageError(
          fmt::format("'{}' is no option; the program is the script itself", options.program_for_help.front()));
  }
};

// What was typed comes last, and wins; of what adds up (--env) it is added.
void apply_typed(const CLI::App& typed, CLI::App& directives) {
  for (CLI::Option* option : directives.get_options()) {
    const CLI::Option* given = typed.get_option_no_throw(option->get_name());
    if (given == nullptr || given->count() == 0) continue;
    if (option->get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll) option->clear();
    for (const std::string& result : given->results()) option->add_result(result);
    option->run_callback();
  }
}

Json script_spec(const CLI::App& typed, std::vector<std::string> argv, const std::string& script) {
  std::vector<std::string> words;
  argv[0] = "script";  // its name unless it gets another
  for (const Directive& directive : script_directives(script)) try {
      DirectiveParser alone;  // so that an error has its line
      alone.parse(directive.words);
      alone.options.one_of_several = true;
      (void)alone.options.spec(argv);
      words.insert(words.end(), directive.words.begin(), directive.words.end());
    } catch (const CLI::ParseError& error) {
      throw UsageError(at_line(directive.line, error.what()));
    } catch (const UsageError& error) {
      throw UsageError(at_line(directive.line, error.what()));
    }
  DirectiveParser parser;
  parser.parse(words);
  apply_typed(typed, parser.app);
  Json spec = parser.options.spec(argv);
  spec["script"] = script_to_json(script);
  return spec;
}

Json spec_of(const CLI::App& typed, const SubmitOptions& options, const std::vector<std::string>& program) {
  const bool dash = !program.empty() && program[0] == "-";
  if (!dash && (!program.empty() || ::isatty(STDIN_FILENO) == 1)) return options.spec(program);
  const std::string script = read_script();
  if (script.empty() && !dash) return options.spec(program);  // which says that there is no program
  return script_spec(typed, dash ? program : std::vector<std::string>{"-"}, script);
}

// A job for each line, by sh(1).
std::vector<Json> specs_of_lines(const SubmitOptions& options, const std::string& path) {
  std::vector<Json> specs;
  const auto lines = read_command_lines(path);
  for (const std::string* file : {&options.stdout_path, &options.stderr_path}) {
    if (!file->empty() && file->find("%j") == std::string::npos && lines.size() > 1 && *file != "/dev/null")
      throw UsageError(
          fmt::format("{}: {} jobs would write over each other; put %j, the job's id, into it", *file, lines.size()));
  }
  for (const CommandLine& line : lines) {
    SubmitOptions own = options;
    if (own.name.empty()) {
      const auto first = line.text.find_first_not_of(" \t");
      own.name = line.text.substr(first, line.text.find_first_of(" \t", first) - first);
    }
    specs.push_back(own.spec({"/bin/sh", "-c", line.text}));
  }
  return specs;
}

void submit_all(const Context& context, std::vector<Json> specs, const Output& output) {
  Json replies = Json::array();
  for (Json& spec : specs) {
    const Json reply = context.connect().request({{"op", "submit"}, {"spec", std::move(spec)}});
    if (output.json())
      replies.push_back(reply);
    else
      fmt::print("{}\n", reply.at("job").get<long>());
  }
  if (output.json()) Output::print_json(replies);
}

}  // namespace

void add_submit(CLI::App& app, Context& context) {
  auto options = std::make_shared<SubmitOptions>();
  auto output = std::make_shared<Output>();
  auto dry_run = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("submit", "Start a job in the background and print its id");
  options->add_to(*command);
  auto lines = std::make_shared<std::string>();
  command
      ->add_option("--lines", *lines,
                   "Submit each line of that file (- for standard input) as a job of its own, run by sh")
      ->type_name("FILE");
  command->add_flag("--dry-run", *dry_run, "Print what would be submitted, and submit nothing");
  output->add_to(*command);
  command->footer("Examples: drover submit -O big.xz -- xz -9e -c big.tar;  drover submit --time-limit 2h < script.sh");
  command->callback([&context, command, options, output, dry_run, lines] {
    if (!lines->empty()) {
      if (options->array.given())
        throw UsageError("--lines: makes jobs of their own; for an array's tasks see --each-line");
      if (!context.program.empty())
        throw UsageError("--lines: the programs are in the file; leave out the one after it");
      std::vector<Json> specs = specs_of_lines(*options, *lines);
      if (!*dry_run) return submit_all(context, std::move(specs), *output);
      for (Json& spec : specs) print_dry_run(std::move(spec), *output);
      return;
    }
    Json spec = spec_of(*command, *options, context.program);
    if (*dry_run) return print_dry_run(std::move(spec), *output);
    const Json reply = context.connect().request({{"op", "submit"}, {"spec", std::move(spec)}});
    if (output->json()) return Output::print_json(reply);
    fmt::print("{}\n", reply.at("job").get<long>());
  });
}

}  // namespace drover
