// The bytes are not a whole and sound image.
#pragma once

#include <stdexcept>

namespace drover {

class ImageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace drover
