#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <set>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// On these, and on everything unknown, another node may not see what was written here before fsync: NFS shows the old
// size. On a local file system whoever can open the file sees it at once, and fsync would only wait for the disk.
static bool needs_flush(const std::string& path) {
  struct statfs fs{};
  if (::statfs(path.c_str(), &fs) != 0) return true;
  constexpr long kXfs = 0x58465342;
  for (const long local : {long{EXT4_SUPER_MAGIC}, long{TMPFS_MAGIC}, kXfs, long{BTRFS_SUPER_MAGIC},
                           long{OVERLAYFS_SUPER_MAGIC}, long{RAMFS_MAGIC}}) {
    if (fs.f_type == local) return false;
  }
  return true;
}

static void flush_file(const std::string& path) {
  if (!needs_flush(path)) return;
  const UniqueFd fd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
  check(::fsync(fd.get()), "fsync", path);
}

void flush_files(const MemoryState& memory, const FilesState& files) {
  std::set<std::string> written;
  for (const FileIdentity& file : memory.files) {
    if (file.written) written.insert(file.path);
  }
  for (const OpenFileState& file : files.open_files) {
    if (file.kind == FileKind::Regular && file.file.written) written.insert(file.file.path);
  }
  for (const std::string& path : written) flush_file(path);
}

void write_unlinked_files(pid_t pid, const FilePlan& plan, ImageWriter& writer) {
  std::set<std::uint64_t> done;
  for (std::size_t i = 0; i < plan.state.open_files.size(); ++i) {
    const OpenFileState& file = plan.state.open_files[i];
    if (file.kind != FileKind::Unlinked || !done.insert(file.object).second) continue;
    // A descriptor without a name can still be opened anew through /proc, whatever mode the program has it in.
    const std::string path = fmt::format("/proc/{}/fd/{}", pid, plan.representative[i]);
    const UniqueFd fd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open", path));
    FileDataState piece{file.object, 0, {}};
    for (;;) {
      piece.bytes.resize(kMaxPayloadBytes / 2);
      const ssize_t n = check(::pread(fd.get(), piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset)),
                              "read", path);
      if (n == 0) break;
      piece.bytes.resize(static_cast<std::size_t>(n));
      writer.add(RecordType::FileData, piece);
      piece.offset += piece.bytes.size();
    }
  }
}

}  // namespace drover
