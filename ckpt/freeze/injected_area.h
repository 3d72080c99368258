// A RemoteArea inside a frozen process of the user's, for as long as its state is being asked for; nothing of it stays.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/freeze/tree_impl.h"
#include "ckpt/sys/vdso.h"

namespace drover {

// Does a thread stand in the runner of a dumper that has been killed? In a moment it has put right what that one had
// under way.
bool is_on_its_way_home(const FrozenProcess&);

class InjectedArea {
 public:
  // Throws SystemError when the process has no `syscall` instruction to borrow or no room for the area; EAGAIN when a
  // thread that is on its way home leaves no signal to end batches with.
  // `vdso`: where it is, if that is known already.
  explicit InjectedArea(FrozenProcess&, VdsoRange vdso = {});
  InjectedArea(const InjectedArea&) = delete;
  ~InjectedArea();

  const RemoteArea& area() const { return area_; }
  RemoteSyscalls& leader() { return *threads_.front(); }
  RemoteSyscalls& thread(std::size_t index) { return *threads_[index]; }
  // Another thread of the process, which the leader has made and which stands still, in the leader's place. It has what
  // it shall have afterwards.
  std::unique_ptr<RemoteSyscalls> beside_leader(pid_t tid, const Registers& present, std::uint64_t mask) const;
  Batch batch(std::size_t index) const { return area_.batch(index); }
  Batch small_batch(std::size_t index) const { return area_.small_batch(index); }

 private:
  RemoteArea area_;
  long call(long number, const std::array<std::uint64_t, 6>& args);

  FrozenProcess& process_;
  std::uint64_t instruction_ = 0;
  int stop_signal_ = 0;
  std::uint64_t padding_ = 0;  // unused room of the vdso for a copy of the runner; 0: there is none
  std::vector<std::unique_ptr<RemoteSyscalls>> threads_;
};

}  // namespace drover
