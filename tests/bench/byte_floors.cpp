#include "byte_floors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <functional>
#include <vector>

#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "heartbeat_program.h"

namespace drover {

static constexpr std::size_t kChunk = 256 * 1024;

static double milliseconds(const std::function<void()>& work) {
  const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
  work();
  return static_cast<double>(clock_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

ByteFloors measure_byte_floors() {
  ByteFloors floors;
  std::vector<std::byte> buffer(kChunk, std::byte{1});
  int ready[2];
  check(::pipe2(ready, O_CLOEXEC), "pipe");
  auto* const memory =
      static_cast<std::byte*>(::mmap(nullptr, kGib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    for (std::size_t at = 0; at < kGib; at += 64) memory[at] = std::byte{7};
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(0);
  }
  char byte = 0;
  check(::read(ready[0], &byte, 1), "read");
  warm_memory();
  floors.read_ms = milliseconds([&] {
    for (std::size_t at = 0; at < kGib; at += kChunk) {
      const iovec local{buffer.data(), kChunk}, remote{memory + at, kChunk};
      check(::process_vm_readv(pid, &local, 1, &remote, 1, 0), "process_vm_readv");
    }
  });
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  for (const int fd : ready) ::close(fd);
  const UniqueFd file(check(::open(kImage.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open", kImage));
  floors.write_ms = milliseconds([&] {
    for (std::size_t at = 0; at < kGib; at += kChunk) check(::write(file.get(), buffer.data(), kChunk), "write");
  });
  floors.fill_ms = milliseconds([&] {
    check(::madvise(memory, kGib, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
    for (std::size_t at = 0; at < kGib; at += kChunk)
      check(::pread(file.get(), memory + at, kChunk, static_cast<off_t>(at)), "read");
  });
  ::munmap(memory, kGib);
  ::unlink(kImage.c_str());
  return floors;
}

}  // namespace drover
