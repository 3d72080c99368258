#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "launcher/commands/commands.h"

namespace drover {

void Output::add_to(CLI::App& command) {
  command.add_option("-o,--output", format, "How to print: table or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

void Output::print_json(const Json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace drover
