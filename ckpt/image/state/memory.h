// An address space without its contents: its areas, and what mm_struct holds besides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/image/state/aio.h"
#include "ckpt/image/state/file_identity.h"
#include "ckpt/image/state/numa.h"

namespace drover {

enum class AreaKind : std::uint8_t {
  Anonymous = 0,        // private, no file; heap and stacks too
  FilePrivate = 1,      // only the pages that were written to (copied) travel
  FileShared = 2,       // nothing travels: the file is the content
  SharedAnonymous = 3,  // content travels; areas with the same `file` are parts of one object
  Vdso = 4,             // put there by the kernel: code and data of the vdso
  NamelessShared = 5,   // of a file without a name: `file` is an index into OpenFilesState::objects
  NamelessPrivate = 6,  // the same, and pages that were written to travel besides
  SystemV = 7,          // shared memory: `file` is an index into IpcState::segments; content travels with that
  AioRing = 8,          // of an AioContext, in which what matters of it travels
};

// Advice and limits of an area, madvise(2) and mlock(2).
enum AreaFlag : std::uint32_t {
  kAreaGrowsDown = 1 << 0,
  kAreaNoReserve = 1 << 1,
  kAreaSequential = 1 << 2,
  kAreaRandom = 1 << 3,
  kAreaDontFork = 1 << 4,
  kAreaDontDump = 1 << 5,
  kAreaWipeOnFork = 1 << 6,
  kAreaHugePages = 1 << 7,
  kAreaNoHugePages = 1 << 8,
  kAreaMergeable = 1 << 9,
  kAreaLocked = 1 << 10,
  kAreaMayWrite = 1 << 11,  // may be made writable later; of a shared area it means a file open for writing
};

// Of an area in huge pages that were set aside for it (hugetlbfs, MAP_HUGETLB): the binary logarithm of their size, as
// mmap(2) has it in its flags; 0: in ordinary pages.
inline constexpr unsigned kAreaHugeShift = 26;
inline constexpr std::uint32_t kAreaHugeMask = 0x3fU << kAreaHugeShift;

struct AreaState {
  std::uint64_t start = 0, end = 0;
  AreaKind kind = AreaKind::Anonymous;
  std::int32_t prot = 0;
  std::uint32_t flags = 0;
  std::uint64_t offset = 0;  // into the file or shared object
  std::uint32_t file = 0;    // index into MemoryState::files, or number of the object
  std::uint8_t key = 0;      // of memory protection, pkeys(7)

  std::uint64_t bytes() const { return end - start; }
  template <class A>
  void serialize(A& a, unsigned) {
    a& start& end& kind& prot& flags& offset& file& key;
  }
};

inline unsigned huge_shift_of(const AreaState& area) { return (area.flags & kAreaHugeMask) >> kAreaHugeShift; }

struct AreaName {  // of anonymous memory (prctl(2), PR_SET_VMA_ANON_NAME)
  std::uint64_t start = 0, end = 0;
  std::string name;
  template <class A>
  void serialize(A& a, unsigned) {
    a& start& end& name;
  }
};

struct GuardPages {  // touching them is a SIGSEGV (madvise(2), MADV_GUARD_INSTALL)
  std::uint64_t address = 0, pages = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& address& pages;
  }
};

struct AreaPolicy {
  std::uint64_t start = 0, end = 0;
  NumaPolicy policy;
  template <class A>
  void serialize(A& a, unsigned) {
    a& start& end& policy;
  }
};

// Memory protection keys, pkeys(7).
struct ProtectionKeys {
  std::uint16_t allocated = 1;     // a bit for each that pkey_mprotect(2) takes; key 0 is there from the beginning
  std::int32_t execute_only = -1;  // the one that the kernel has taken for areas with PROT_EXEC alone; -1: none yet
  bool operator==(const ProtectionKeys&) const = default;
  template <class A>
  void serialize(A& a, unsigned) {
    a& allocated& execute_only;
  }
};

struct MemoryState {
  std::int32_t process = 0;
  // In the order of struct prctl_mm_map (prctl(2), PR_SET_MM_MAP).
  std::uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, brk = 0, start_stack = 0;
  std::uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  std::vector<std::byte> auxv;
  std::uint32_t executable = 0;         // index into files
  std::int32_t executable_object = -1;  // of a deleted one, which `files` lacks: index into OpenFilesState::objects
  std::vector<FileIdentity> files;
  std::vector<AreaState> areas;
  std::vector<AreaName> names;
  std::vector<GuardPages> guards;
  std::vector<AreaPolicy> policies;
  ProtectionKeys keys;
  std::vector<AioContext> aio;      // in the order of their areas
  std::uint64_t content_pages = 0;  // about so many pages follow; what a restorer must have room for

  template <class A>
  void serialize(A& a, unsigned) {
    a& process& start_code& end_code& start_data& end_data& start_brk& brk& start_stack& arg_start& arg_end& env_start&
        env_end& auxv& executable& executable_object& files& areas& names& guards& policies& keys& aio& content_pages;
  }
};

}  // namespace drover
