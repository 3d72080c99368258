// A RemoteArea inside a frozen process of the user's, for as long as its state is being asked for; nothing of it stays.
#pragma once

#include <initializer_list>
#include <memory>
#include <vector>

#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/freeze/tree_impl.h"

namespace drover {

class InjectedArea {
 public:
  // Throws SystemError when the process has no `syscall` instruction to borrow or no room for the area.
  explicit InjectedArea(FrozenProcess&);
  InjectedArea(const InjectedArea&) = delete;
  ~InjectedArea();

  const RemoteArea& area() const { return area_; }
  RemoteSyscalls& leader() { return *threads_.front(); }
  RemoteSyscalls& thread(std::size_t index) { return *threads_[index]; }
  Batch batch(std::size_t index) const { return area_.batch(index); }

 private:
  RemoteArea area_;
  long call(long number, std::initializer_list<std::uint64_t> args);

  FrozenProcess& process_;
  std::uint64_t instruction_ = 0;
  std::uint64_t padding_ = 0;  // unused room of the vdso for a copy of the runner; 0: there is none
  std::vector<std::unique_ptr<RemoteSyscalls>> threads_;
};

}  // namespace drover
