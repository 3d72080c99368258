// The file that an image is written to. It gets its name only when it is whole, so that a failed dump neither leaves
// half an image nor costs an older one.
#pragma once

#include <string>

#include "ckpt/sys/unique_fd.h"

namespace drover {

class ImageFile {
 public:
  // "-" is standard output; what is no regular file (a pipe, a device) is written to directly. Throws
  // SystemError.
  explicit ImageFile(const std::string& path);
  ~ImageFile();  // removes what was not kept
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;

  int fd() const;
  void keep();

 private:
  std::string path_, unfinished_;
  UniqueFd fd_;
};

}  // namespace drover
