#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "launcher/commands/commands.h"

namespace drover {

void Output::add_to(CLI::App& command, Prints prints) {
  const bool list = prints == Prints::List;
  const std::vector<std::string> formats =
      list ? std::vector<std::string>{"table", "json", "quiet"} : std::vector<std::string>{"table", "json"};
  command
      .add_option("-o,--output", format, list ? "How to print: table, json or quiet" : "How to print: table or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(formats))
      ->capture_default_str();
}

void Output::print_json(const Json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, Json::error_handler_t::replace));
}

void print_error(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  fmt::print(stderr, "drover: {}\n", text);
}

}  // namespace drover
