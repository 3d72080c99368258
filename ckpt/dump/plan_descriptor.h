// One descriptor of a process, and the state of the open file behind it. The rules of what can be opened again
// elsewhere, one function per kind of file; what depends on other descriptors is left to plan_files.cpp.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>

#include "ckpt/dump/dump.h"
#include "ckpt/image/state/files.h"
#include "ckpt/sys/fdinfo.h"
#include "ckpt/sys/unix_diag.h"

namespace drover {

struct Descriptor {
  pid_t process;
  int fd;
  bool of_root;
  std::string link;
  struct stat info;
  FdInfo detail;
  std::string through = {};  // on its way through this socket; `process` is we
  std::string name() const;  // for refusals: "fd 7", or "fd 7 of process 4711" if that is not the root
};

// Empty if it has been closed since it was listed.
std::optional<Descriptor> look_at_descriptor(pid_t pid, int fd, bool of_root);

// `info`: of a unix socket.
std::optional<Refusal> plan_descriptor(const Descriptor&, const DumpOptions&, OpenFileState&, UnixSocketInfo& info);

// What FileKind::Nameless and Pipe are descriptions of.
FileObject describe_object(const Descriptor&);

// What an epoll watches, by the descriptors of this process; false if one of them means another file by now.
bool find_watched(const Descriptor&, OpenFileState&);

}  // namespace drover
