// Can this node hold the program? Asked before anything is made.
#pragma once

#include <optional>

#include "ckpt/restore/image_model.h"
#include "ckpt/restore/restore.h"

namespace drover {

std::optional<Refusal> find_restore_obstacle(const ImageModel&, const RestoreOptions&);

}  // namespace drover
