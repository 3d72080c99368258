#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "launcher/commands/commands.h"

namespace drover {

void Output::add_to(CLI::App& command) {
  command.add_option("-o,--output", format, "How to print: table, json or quiet")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json", "quiet"}))
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
