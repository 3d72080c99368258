// Threads that a killed dumper has left in a batch go home by themselves (runner.S), but not while their process is
// stopped: then they would stay there until it is continued.
#pragma once

#include <optional>

#include "ckpt/freeze/tree_impl.h"
#include "ckpt/sys/error.h"

namespace drover {

// Lets the threads of a stopped process, which have all been stopped by us, too, finish their batches, and puts them
// where they were before. A Refusal if one does not get there. Throws TraceeGone if it is killed.
std::optional<Refusal> bring_home(FrozenProcess&);

}  // namespace drover
