// Marks of what is in the files that the tree only reads: for a restorer that finds files of another time.
#include <fcntl.h>
#include <sys/stat.h>

#include <map>

#include "ckpt/dump/collect.h"
#include "ckpt/image/content_mark.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

namespace {

class FileMarker {
 public:
  void mark(FileIdentity& file) {
    if (file.written || !S_ISREG(file.mode) || file.size == 0) return;
    const auto [known, fresh] = marks_.emplace(file.path, ContentMark{});
    if (fresh) known->second = look(file);
    file.content = known->second;
  }

 private:
  ContentMark look(const FileIdentity& file) {
    const UniqueFd fd(::open(file.path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!fd) return {};
    if (file.size > kAlwaysHashed) {
      ContentMark id = content_mark(fd.get(), ContentMarkKind::BuildId);
      if (id.kind != ContentMarkKind::None) return id;
    }
    if (file.size > kMostHashedBytes || hashed_bytes_ + file.size > kMostHashedTogether) return {};
    hashed_bytes_ += file.size;
    return content_mark(fd.get(), ContentMarkKind::Hash);
  }

  // The tree stands still meanwhile: a build-id takes 5 us, 1 MiB some 0.1 ms.
  static constexpr std::uint64_t kAlwaysHashed = 64 * 1024, kMostHashedTogether = 1024 * 1024;
  std::map<std::string, ContentMark> marks_;
  std::uint64_t hashed_bytes_ = 0;
};

}  // namespace

void mark_files(std::span<MemoryState* const> memories, OpenFilesState& files) {
  FileMarker marker;
  for (MemoryState* memory : memories) {
    for (FileIdentity& file : memory->files) marker.mark(file);
  }
  for (OpenFileState& file : files.files) {
    if (file.kind == FileKind::Regular) marker.mark(file.file);
  }
}

}  // namespace drover
