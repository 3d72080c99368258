#include "ckpt/sys/working_memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// A table of descriptors that threads share grows only after an RCU grace period, some 10 ms each time it doubles
// (expand_fdtable(), fs/file.c).
static void enlarge_descriptor_table() {
  constexpr rlim_t kDescriptors = 1024;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const UniqueFd any(::open("/", O_PATH | O_CLOEXEC));
  const UniqueFd last(
      ::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(std::min(kDescriptors, limit.rlim_cur)) - 1));
}

// Where the guest's page tables are shadowed (paravirtualised guests) a page that is there is still a fault of the
// host's when it is first written to, once by the program and once by the kernel, which has tables of its own: 6 us
// each.
static void write_to(std::byte* begin, std::size_t bytes, std::size_t page) {
  const UniqueFd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t n = ::read(zeros.get(), begin + done, bytes - done);
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  for (std::size_t at = 0; at < bytes; at += page) *reinterpret_cast<volatile std::byte*>(begin + at) = std::byte{0};
}

// What the calls to come will use of it, in bytes.
static constexpr std::size_t kStack = 64 * 1024;

[[gnu::noinline]] static void prepare_stack(std::size_t page) {
  std::byte below[kStack];
  write_to(below, sizeof below, page);
}

// The linker's (ld(1)): where the program begins in memory, and where its code ends.
extern "C" const std::byte __executable_start[], etext[];  // NOLINT(bugprone-reserved-identifier)

static void prepare_code(Readiness readiness, std::uintptr_t page) {
  const auto begin = reinterpret_cast<std::uintptr_t>(__executable_start);
  const auto end = (reinterpret_cast<std::uintptr_t>(etext) + page - 1) & ~(page - 1);
  // Refused if there are holes in between, too (ENOMEM).
  const bool whole = ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ) == 0;
  if (!whole || readiness != Readiness::WrittenTo) return;
  for (auto at = begin; at < end; at += page) static_cast<void>(*reinterpret_cast<const volatile std::byte*>(at));
}

void prepare_working_memory(std::size_t bytes, Readiness readiness) {
  enlarge_descriptor_table();
  constexpr int kMostFromHeap = 32 << 20;  // larger values are refused (mallopt(3), HEAP_MAX_SIZE / 2)
  constexpr int kKept = 64 << 20;
  ::mallopt(M_MMAP_THRESHOLD, kMostFromHeap);
  ::mallopt(M_TRIM_THRESHOLD, kKept);
  ::mallopt(M_ARENA_MAX, 1);
  void* block = ::malloc(bytes);
  if (block == nullptr) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  prepare_code(readiness, page);
  if (readiness == Readiness::WrittenTo) prepare_stack(page);
  const auto begin = (reinterpret_cast<std::uintptr_t>(block) + page - 1) & ~(page - 1);
  const auto end = (reinterpret_cast<std::uintptr_t>(block) + bytes) & ~(page - 1);
  if (end > begin) {
    auto* const first = reinterpret_cast<std::byte*>(begin);
    // Linux >= 5.14; on an older one the pages come one by one, as they would have.
    ::madvise(first, end - begin, MADV_POPULATE_WRITE);
    if (readiness == Readiness::WrittenTo) write_to(first, end - begin, page);
  }
  ::free(block);
}

}  // namespace drover
