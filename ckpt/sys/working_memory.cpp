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

void prepare_working_memory(std::size_t bytes) {
  enlarge_descriptor_table();
  constexpr int kMostFromHeap = 32 << 20;  // larger values are refused (mallopt(3), HEAP_MAX_SIZE / 2)
  constexpr int kKept = 64 << 20;
  ::mallopt(M_MMAP_THRESHOLD, kMostFromHeap);
  ::mallopt(M_TRIM_THRESHOLD, kKept);
  ::mallopt(M_ARENA_MAX, 1);
  void* block = ::malloc(bytes);
  if (block == nullptr) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(block) + page - 1) & ~(page - 1);
  const auto end = (reinterpret_cast<std::uintptr_t>(block) + bytes) & ~(page - 1);
  // Linux >= 5.14; on an older one the pages come one by one, as they would have.
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
  ::free(block);
}

}  // namespace drover
