#pragma once

#include "ckpt/freeze/tree_impl.h"

namespace drover {

// Learns where the threads have registered for restartable sequences (rseq(2)). A thread that was stopped inside one is
// moved to its abort handler, as the kernel does after every preemption: our system calls would run outside the
// sequence, the kernel would then forget that it was in one.
void leave_restartable_sequences(FrozenProcess&);

}  // namespace drover
