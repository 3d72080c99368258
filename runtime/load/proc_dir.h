// Reading the small text files of /proc quickly, from any root so that tests can lay one out in a directory.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>

namespace drover {

class ProcDir {
 public:
  explicit ProcDir(std::string root) : root_(std::move(root)) {}
  const std::string& root() const { return root_; }

  // The file's text; empty when it can't be read: processes end under the reader's hands, and kernels lack files.
  std::string read(const std::string& name) const;

  template <class... Args>
  std::string read(fmt::format_string<Args...> format, Args&&... args) const {
    fmt::memory_buffer name;
    fmt::format_to(std::back_inserter(name), format, std::forward<Args>(args)...);
    return read(std::string(name.data(), name.size()));
  }

 private:
  std::string root_;
};

}  // namespace drover
