// The sockets of an image, checked for sense.
#pragma once

#include "ckpt/image/state/files.h"

namespace drover {

// Throws ImageError.
void check_sockets(const OpenFilesState&);

}  // namespace drover
