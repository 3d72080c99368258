// How to know on another node that a path names the same file. Device and inode numbers differ between nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace drover {

enum class ContentMarkKind : std::uint8_t {
  None = 0,
  Hash = 1,     // XXH3-128 of the whole file
  BuildId = 2,  // of the program or library (ld(1), --build-id)
};

struct ContentMark {
  ContentMarkKind kind = ContentMarkKind::None;
  std::vector<std::byte> value;
  // Without a mark nothing is known to be the same.
  bool same_as(const ContentMark& other) const {
    return kind != ContentMarkKind::None && kind == other.kind && value == other.value;
  }
  template <class A>
  void serialize(A& a, unsigned) {
    a& kind& value;
  }
};

struct FileIdentity {
  std::string path;
  std::uint32_t mode = 0;  // st_mode
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  bool written = false;      // open for writing or mapped shared and writable: its mtime may lag behind
  ContentMark content = {};  // of a file that is only read: decides where its time is another

  template <class A>
  void serialize(A& a, unsigned) {
    a& path& mode& size& mtime_ns& written& content;
  }
};

}  // namespace drover
