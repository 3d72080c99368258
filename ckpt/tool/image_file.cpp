#include "ckpt/tool/image_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "ckpt/sys/error.h"

namespace drover {

ImageFile::ImageFile(const std::string& path) : path_(path) {
  if (path == "-") return;
  struct stat info {};
  const bool special = ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
  if (!special) unfinished_ = fmt::format("{}.unfinished.{}", path, ::getpid());
  const std::string& name = special ? path : unfinished_;
  fd_.reset(check(::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open", path));
}

ImageFile::~ImageFile() {
  if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
}

int ImageFile::fd() const { return fd_ ? fd_.get() : STDOUT_FILENO; }

void ImageFile::keep() {
  if (!unfinished_.empty()) check(std::rename(unfinished_.c_str(), path_.c_str()), "rename to", path_);
  unfinished_.clear();
}

}  // namespace drover
