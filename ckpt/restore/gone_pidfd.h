// Pidfds of processes that have ended and been waited for: of such a one no process can be named any more.
#pragma once

#include "ckpt/image/state/files.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// Of a process that has lived only for it. Throws SystemError.
UniqueFd make_gone_pidfd(const OpenFileState&);

}  // namespace drover
