// Files with a name that lie in memory (tmpfs), as those of shm_open(3) do: another node has them only if we put them
// there.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

class TmpfsFiles {
 public:
  TmpfsFiles() = default;
  TmpfsFiles(const TmpfsFiles&) = delete;
  TmpfsFiles& operator=(const TmpfsFiles&) = delete;
  ~TmpfsFiles();  // removes what was made and not kept

  // A writable descriptor of a new file of the right size, to be filled; empty if the file is here already, or another
  // one in its place (refusal()). `same_boot`: the image was made on this machine since it was started, so that device
  // and inode mean something.
  UniqueFd place(const FileObject&, bool same_boot);
  // Owner, mode and time of what was made, when its content is there.
  void finish();
  const std::optional<Refusal>& refusal() const { return refusal_; }
  std::vector<std::string> made() const;  // their paths
  // From now on all of it stays.
  void keep() { made_.clear(); }

 private:
  struct Made {
    FileObject object;
    struct stat info;
  };
  std::vector<Made> made_;
  std::optional<Refusal> refusal_;
};

}  // namespace drover
