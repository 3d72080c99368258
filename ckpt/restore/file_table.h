// The open file descriptions of a tree, made by the restorer itself: the processes inherit all of them, which is how
// they come to share what they shared. (What only a process of the program can do is left to the stages: arming
// timers, and epoll, which names what it watches by the descriptors of who adds it.)
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/image/state/files.h"
#include "ckpt/restore/restore.h"
#include "ckpt/restore/socket_names.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

class FileTable {
 public:
  // Objects, which content can be put into then. Throws SystemError.
  void make_objects(const OpenFilesState&);
  // Throws ImageError if there is no such object, or more content than it holds.
  void add_content(const FileDataState&);
  // Everything else. `names` must live until the tree is let go.
  void open_all(const OpenFilesState&, const RestoreOptions&, SocketNames& names);

  // When all that is mapped has been mapped: some seals forbid it.
  void seal(const OpenFilesState&);

  // In the order of OpenFilesState::files.
  const std::vector<UniqueFd>& descriptions() const { return descriptions_; }
  // In the order of OpenFilesState::objects; of a pipe its write end.
  const std::vector<UniqueFd>& objects() const { return objects_; }

 private:
  UniqueFd open_one(const OpenFileState&, const OpenFilesState&, const RestoreOptions&);
  UniqueFd open_external(const OpenFileState&, const RestoreOptions&);
  UniqueFd open_pipe(const OpenFileState&, const FileObject&);
  void make_pipe(const FileObject&, std::uint32_t number);
  void make_fifo(const FileObject&, std::uint32_t number);

  std::vector<UniqueFd> objects_;
  std::map<std::uint32_t, UniqueFd> read_ends_;  // of pipes
  std::set<std::uint32_t> filled_;               // named pipes that somebody here holds with all that is in them
  std::vector<UniqueFd> descriptions_;
  std::set<int> used_;          // ends of pipes that are some description already
  std::set<std::string> keys_;  // the same of external files
};

}  // namespace drover
