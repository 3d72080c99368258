// The commands of drover-ckpt. Each returns the exit code: 0, 1 could not (reason printed), or the program's own for a
// restore in the foreground.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace drover {

struct DumpArguments {
  pid_t pid = 0;
  std::string image;
  bool leave_running = false, own_ipc = false, with_program = false, timing = false;
  std::vector<std::string> with_files;
};
int run_dump(const DumpArguments&);

struct RestoreArguments {
  std::string image;
  bool detach = false, new_pid_namespace = false, truncate = false, timing = false;
};
int run_restore(const RestoreArguments&);

int run_show(const std::string& image, bool json);
int run_verify(const std::string& image);
int run_features(bool json);

}  // namespace drover
