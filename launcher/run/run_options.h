// What `run` and `attach` have in common: how they follow a job, and what becomes of their failures.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>

#include "launcher/commands/commands.h"
#include "launcher/run/session.h"

namespace drover {

struct SessionOptions {
  int give_up_after = 300;
  std::string detach_keys = DetachKeys::kDefault;

  void add_to(CLI::App& command);
  void add_keys_to(CLI::App& command);
  // Gives the exit code; what fails is said on stderr.
  int follow(const Context& context, bool terminal, const std::function<int(RunSession&)>& work,
             RunSession::Options options = {}) const;
};

}  // namespace drover
