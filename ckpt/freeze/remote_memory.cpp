#include "ckpt/freeze/remote_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"

namespace drover {

static void* as_pointer(std::uint64_t address) { return reinterpret_cast<void*>(address); }

int RemoteMemory::mem() const {
  if (!mem_) mem_.reset(::open(proc_path(pid_, "mem").c_str(), O_RDWR | O_CLOEXEC));
  return mem_.get();
}

bool RemoteMemory::try_read(std::uint64_t address, std::span<std::byte> to) const noexcept {
  const iovec local{to.data(), to.size()}, remote{as_pointer(address), to.size()};
  const auto size = static_cast<ssize_t>(to.size());
  return ::process_vm_readv(pid_, &local, 1, &remote, 1, 0) == size ||
         ::pread(mem(), to.data(), to.size(), static_cast<off_t>(address)) == size;
}

bool RemoteMemory::try_write(std::uint64_t address, std::span<const std::byte> from) const noexcept {
  const iovec local{const_cast<std::byte*>(from.data()), from.size()}, remote{as_pointer(address), from.size()};
  const auto size = static_cast<ssize_t>(from.size());
  return ::process_vm_writev(pid_, &local, 1, &remote, 1, 0) == size ||
         ::pwrite(mem(), from.data(), from.size(), static_cast<off_t>(address)) == size;
}

void RemoteMemory::read(std::uint64_t address, std::span<std::byte> to) const {
  if (!try_read(address, to)) throw SystemError("read memory of", fmt::format("pid {} at {:#x}", pid_, address), errno);
}

void RemoteMemory::write(std::uint64_t address, std::span<const std::byte> from) const {
  if (!try_write(address, from))
    throw SystemError("write memory of", fmt::format("pid {} at {:#x}", pid_, address), errno);
}

static constexpr std::size_t kMostRanges = 1024;  // IOV_MAX

static std::size_t count_bytes(std::span<const iovec> ranges) {
  std::size_t bytes = 0;
  for (const iovec& range : ranges) bytes += range.iov_len;
  return bytes;
}

void RemoteMemory::read_ranges(std::span<const iovec> remote, std::span<std::byte> to) const {
  for (; remote.size() > kMostRanges; remote = remote.subspan(kMostRanges)) {
    const std::size_t bytes = count_bytes(remote.first(kMostRanges));
    read_ranges(remote.first(kMostRanges), to.first(bytes));
    to = to.subspan(bytes);
  }
  if (remote.empty()) return;
  const iovec local{to.data(), to.size()};
  if (::process_vm_readv(pid_, &local, 1, remote.data(), remote.size(), 0) == static_cast<ssize_t>(to.size())) return;
  for (const iovec& range : remote) {  // an area that may not be read, such as PROT_NONE
    read(reinterpret_cast<std::uint64_t>(range.iov_base), to.first(range.iov_len));
    to = to.subspan(range.iov_len);
  }
}

void RemoteMemory::write_ranges(std::span<const iovec> remote, std::span<const std::byte> from) const {
  for (; remote.size() > kMostRanges; remote = remote.subspan(kMostRanges)) {
    const std::size_t bytes = count_bytes(remote.first(kMostRanges));
    write_ranges(remote.first(kMostRanges), from.first(bytes));
    from = from.subspan(bytes);
  }
  if (remote.empty()) return;
  const iovec local{const_cast<std::byte*>(from.data()), from.size()};
  if (::process_vm_writev(pid_, &local, 1, remote.data(), remote.size(), 0) == static_cast<ssize_t>(from.size()))
    return;
  for (const iovec& range : remote) {
    write(reinterpret_cast<std::uint64_t>(range.iov_base), from.first(range.iov_len));
    from = from.subspan(range.iov_len);
  }
}

}  // namespace drover
