// The shell at a terminal: prompt, line, command, and again.
#pragma once

#include "launcher/shell/shell.h"

namespace drover::shell {

// The exit status.
int run_interactive(Shell& shell);

}  // namespace drover::shell
