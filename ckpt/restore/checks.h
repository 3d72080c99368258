// Can this node hold the program? Asked before anything is made.
#pragma once

#include <optional>

#include "ckpt/restore/image_model.h"
#include "ckpt/restore/restore.h"

namespace drover {

std::optional<Refusal> find_restore_obstacle(const ImageModel&, const RestoreOptions&);

// RestoreOptions::truncate, when nothing is in the way any more. Throws SystemError.
void truncate_files(const ImageModel&);

}  // namespace drover
