// A process beside the command traces the tree. It can stay when the command has ended: threads whose call was issued
// again with the rest of its time need their tracer until that call returns (freeze/release.h), which may take as long
// as the program likes.
#pragma once

#include <functional>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// The end of the process beside.
class Beside {
 public:
  Beside(UniqueFd socket, const std::function<void()>& keep) : socket_(std::move(socket)), keep_(keep) {}
  // This process has entered other namespaces: files have other names there, and the command has to keep what is made.
  void went_inside() { inside_ = true; }
  // The work is done: false if the command is gone, or what was made could not be kept.
  bool done();
  // Nothing more is to be told: the command may end, and this process gives up its output, terminal and descriptors.
  void leave();

 private:
  UniqueFd socket_;
  const std::function<void()>& keep_;
  bool inside_ = false;
};

// Makes all of this process's descriptors but /dev/null go, and its terminal.
void leave_terminal();

// Runs `work` in the process beside, and `keep` when that is done, there or here; true if it was. Returns when `work`
// has left or its process has ended.
bool run_beside(const std::function<void(Beside&)>& work, const std::function<void()>& keep);

}  // namespace drover
