// Pages that a process does not have yet, made with their contents in one step (userfaultfd(2), UFFDIO_COPY). Where
// memory that is not there is written to, the kernel clears each page before it is overwritten: that takes half as long
// again (1 GiB on Linux 6.18: 0.38 s by process_vm_writev(2), 0.26 s so).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// What can be done with some of the process's areas until this is destroyed. Meanwhile nobody else may touch pages of
// these that are not there: not even process_vm_writev(2) can (EFAULT).
class MissingPages {
 public:
  // Empty where the kernel does not let the process: without CONFIG_USERFAULTFD, or in a container that forbids it.
  static std::optional<MissingPages> of(HeldProcess& held);
  explicit MissingPages(UniqueFd fd) : fd_(std::move(fd)) {}

  // True if pages of `area`, the process's `index`th, are to be made so from now on: not where it would get huge ones.
  bool covers(const AreaState& area, std::size_t index);
  // By any thread. Pages that are there are overwritten. Throws SystemError.
  void fill(const RemoteMemory& memory, std::uint64_t address, std::span<const std::byte> bytes) const;

 private:
  enum class Covered : std::uint8_t { Unknown, No, Yes };
  UniqueFd fd_;
  std::vector<Covered> areas_;
};

}  // namespace drover
