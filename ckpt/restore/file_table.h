// The open file descriptions of a tree, made by the restorer itself: the processes inherit all of them, which is how
// they come to share what they shared. (What only a process of the program can do is left to the stages: arming
// timers, and epoll, which names what it watches by the descriptors of who adds it.)
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/image/state/files.h"
#include "ckpt/restore/restore.h"
#include "ckpt/restore/socket_names.h"
#include "ckpt/restore/terminals.h"
#include "ckpt/restore/tmpfs_files.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

class FileTable {
 public:
  // Objects, which content can be put into then. `same_boot`: as TmpfsFiles::place(). Throws SystemError.
  void make_objects(const OpenFilesState&, bool same_boot);
  // Why one of them can't be made.
  const std::optional<Refusal>& refusal() const { return refusal_ ? refusal_ : tmpfs_.refusal(); }
  // Throws ImageError if there is no such object, or more content than it holds.
  void add_content(const OpenFilesState&, const FileDataState&);
  // When all content is there.
  void finish_objects(const OpenFilesState&);
  // Everything else. `names` must live until the tree is let go.
  void open_all(const OpenFilesState&, const RestoreOptions&, SocketNames& names);

  // When all that is mapped has been mapped: some seals forbid it.
  void seal(const OpenFilesState&);
  // When nobody opens a terminal any more: some of their settings forbid it.
  void settle_terminals(const OpenFilesState&);
  // The master of the terminal that the tree is given; empty if it has none.
  UniqueFd take_terminal(const OpenFilesState&);

  // When the tree has inherited them.
  void close();
  std::vector<std::string> made_files() const { return tmpfs_.made(); }
  // What has been made with a name stays; else it goes with this object.
  void keep() { tmpfs_.keep(); }

  // In the order of OpenFilesState::files.
  const std::vector<UniqueFd>& descriptions() const { return descriptions_; }
  // In the order of OpenFilesState::terminals.
  const std::vector<RestoredTerminal>& terminals() const { return terminals_; }
  // In the order of OpenFilesState::objects; of a pipe its write end.
  const std::vector<UniqueFd>& objects() const { return objects_; }

 private:
  UniqueFd open_one(const OpenFileState&, const OpenFilesState&, const RestoreOptions&);
  UniqueFd open_external(const OpenFileState&, const RestoreOptions&);
  UniqueFd open_terminal_master(const OpenFileState&);
  UniqueFd open_pipe(const OpenFileState&, const FileObject&);
  void make_terminals(const OpenFilesState&);
  void make_pipe(const OpenFilesState&, std::uint32_t number);
  void make_fifo(const OpenFilesState&, std::uint32_t number);
  UniqueFd make_file(const OpenFilesState&, std::uint32_t number, bool same_boot);
  UniqueFd make_unlinked(const FileObject&, std::uint32_t number, int tmpfile_flags);
  UniqueFd make_tmpfs_file(const FileObject&, std::uint32_t number, bool same_boot);
  UniqueFd make_gone_directory(const FileObject&);
  void add_seals(std::size_t number, const FileObject&);

  std::vector<UniqueFd> objects_;
  std::vector<RestoredTerminal> terminals_;
  std::map<std::uint32_t, UniqueFd> read_ends_;  // of pipes
  std::map<std::uint32_t, UniqueFd> tmpfiles_;   // descriptions that made an object with O_TMPFILE
  std::set<std::uint32_t> filled_;  // what is here with all that is in it: named pipes that somebody holds, files
  TmpfsFiles tmpfs_;
  std::optional<Refusal> refusal_;
  std::vector<UniqueFd> descriptions_;
  std::set<int> used_;          // ends of pipes that are some description already
  std::set<std::string> keys_;  // the same of external files
};

}  // namespace drover
