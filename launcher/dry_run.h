// What `drover submit --dry-run` prints.
#pragma once

#include "launcher/commands/commands.h"

namespace drover {

// Of the environment only what --env has set is shown with its value: the rest may hold secrets.
void print_dry_run(Json spec, const Output& output);

}  // namespace drover
