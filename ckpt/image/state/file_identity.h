// How to know on another node that a path names the same file. Device and inode numbers differ between nodes.
#pragma once

#include <cstdint>
#include <string>

namespace drover {

struct FileIdentity {
  std::string path;
  std::uint32_t mode = 0;  // st_mode
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  bool written = false;  // open for writing or mapped shared and writable: its mtime may lag behind

  template <class A>
  void serialize(A& a, unsigned) {
    a& path& mode& size& mtime_ns& written;
  }
};

}  // namespace drover
