// Contexts of asynchronous I/O in an image.
#pragma once

#include <optional>

#include "ckpt/restore/image_model.h"
#include "ckpt/sys/error.h"

namespace drover {

// One for each of the areas that are rings, in their order, and each within its bounds.
bool are_sound_contexts(const MemoryState&);
// Can this kernel make them?
std::optional<Refusal> find_aio_obstacle(const ImageModel&);

}  // namespace drover
