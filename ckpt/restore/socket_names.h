// Names of unix sockets. A path must be bound exactly as the program gave it, since getsockname(2) tells it for ever,
// but the file that it leads to may still be the frozen source's, which keeps it until this tree is let go. So it is
// bound within a new folder beside that file, by a child for which the folder is the root, and moved over the file at
// the end.
#pragma once

#include <list>
#include <optional>
#include <string>

#include "ckpt/image/state/sockets.h"
#include "ckpt/restore/run_as.h"

namespace drover {

// Where a name leads to meanwhile.
struct BoundName {
  SocketAddress address;
  std::string root, folder;        // empty for one that is no path: it leads there from everywhere
  std::string path;                // of the file, as we see it
  std::optional<SocketFile> file;  // which it shall become
  Actor as(const SocketUser& user) const { return {user, root, folder}; }
};

class SocketNames {
 public:
  SocketNames() = default;
  SocketNames(SocketNames&&) noexcept = default;
  SocketNames& operator=(SocketNames&&) = delete;
  ~SocketNames();  // removes what has not been put in place

  // `file`: empty for a name that leads nowhere in the end. Throws SystemError.
  const BoundName& bind(int socket, const SocketAddress&, const std::optional<SocketFile>& file);
  // Puts files in their places, instead of those that are there. Throws SystemError.
  void commit();

 private:
  std::list<BoundName> bound_;
};

// A place within a root made for it: "/a/b/name" and where a relative name starts from. Every ".." has a folder to
// leave.
struct PlaceInRoot {
  std::string folder, path;
  std::list<std::string> folders;  // to be made, in this order
};
PlaceInRoot place_in_root(const std::string& name);

}  // namespace drover
