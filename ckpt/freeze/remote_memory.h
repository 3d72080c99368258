// Reads and writes the memory of another process. process_vm_readv and process_vm_writev obey the protections of the
// areas; where these are in the way, and only there, /proc/PID/mem does it for a tracer.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "ckpt/sys/unique_fd.h"

namespace drover {

class RemoteMemory {
 public:
  explicit RemoteMemory(pid_t pid) : pid_(pid) {}
  pid_t pid() const { return pid_; }

  void read(std::uint64_t address, std::span<std::byte> to) const;
  void write(std::uint64_t address, std::span<const std::byte> from) const;
  bool try_read(std::uint64_t address, std::span<std::byte> to) const noexcept;
  bool try_write(std::uint64_t address, std::span<const std::byte> from) const noexcept;

  // Several ranges to or from one local buffer, in order.
  void read_ranges(std::span<const iovec> remote, std::span<std::byte> to) const;
  void write_ranges(std::span<const iovec> remote, std::span<const std::byte> from) const;

  template <class T>
  T load(std::uint64_t address) const {
    T value{};
    read(address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <class T>
  void store(std::uint64_t address, const T& value) const {
    write(address, std::as_bytes(std::span(&value, 1)));
  }

 private:
  int mem() const;
  pid_t pid_;
  mutable UniqueFd mem_;
};

}  // namespace drover
