#include "ckpt/dump/ipc.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "ckpt/image/pages.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/sysvipc.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static constexpr std::size_t kMostMessageBytes = 16 * 1024 * 1024;

AttachedSegment::AttachedSegment(std::int32_t id, bool writable) {
  void* at = ::shmat(id, nullptr, writable ? 0 : SHM_RDONLY);
  if (at == reinterpret_cast<void*>(-1)) throw SystemError("shmat", fmt::format("segment {}", id), errno);
  at_.reset(static_cast<const std::byte*>(at));
}

void AttachedSegment::Detach::operator()(const std::byte* at) const noexcept { ::shmdt(at); }

static IpcOwnership ownership(std::int32_t id, const ipc_perm& perm) {
  return {id, perm.__key, perm.uid, perm.gid, perm.cuid, perm.cgid, static_cast<std::uint32_t>(perm.mode) & 0777};
}

// Huge pages come from a file system of their own; only the flags of an area tell.
static std::uint32_t huge_shift_of(const AttachedSegment& segment) {
  const auto start = reinterpret_cast<std::uintptr_t>(segment.begin());
  for (const Mapping& m : parse_smaps(read_text("/proc/self/smaps"))) {
    if (m.start == start && m.has_flag("ht")) return static_cast<std::uint32_t>(std::countr_zero(m.page_kib) + 10);
  }
  return 0;
}

// Missing pages can be asked for only where they could be made.
static std::optional<HugePages> find_huge_pages_of(const SegmentState& state) try {
  const AttachedSegment segment(state.owner.id, true);
  const auto start = reinterpret_cast<std::uintptr_t>(segment.begin());
  return find_own_huge_pages(start, start + state.mapped_bytes(), state.huge_shift);
} catch (const SystemError&) {  // we may not write to it
  return std::nullopt;
}

static std::optional<Refusal> collect_segments(TreeObjects& objects, IpcDump& dump) {
  for (const SysvEntry& entry : parse_sysvipc(read_text("/proc/sysvipc/shm"))) {
    shmid_ds info{};
    check(::shmctl(entry.id, IPC_STAT, &info), "IPC_STAT", fmt::format("segment {}", entry.id));
    AttachedSegment attached(entry.id);
    objects.segments.emplace(entry.id, TreeObjects::Segment{static_cast<std::uint32_t>(objects.segments.size()), 0});
    dump.state.segments.push_back({ownership(entry.id, info.shm_perm), info.shm_segsz,
                                   (info.shm_perm.mode & SHM_DEST) != 0, (info.shm_perm.mode & SHM_LOCKED) != 0,
                                   huge_shift_of(attached)});
    HugePages& huge_pages = dump.huge_pages.emplace_back();
    if (const SegmentState& state = dump.state.segments.back(); state.huge_shift != 0) {
      auto there = find_huge_pages_of(state);
      if (!there)
        return Refusal{
            fmt::format("has System V shared memory {} in huge pages that the kernel does not show", entry.id)};
      huge_pages = std::move(*there);
    }
    dump.segments.push_back(std::move(attached));
    dump.swapped.push_back(entry.swap_bytes != 0);
  }
  return std::nullopt;
}

static SemaphoreSetState read_set(std::int32_t id) {
  const std::string name = fmt::format("semaphores {}", id);
  semid_ds info{};
  check(::semctl(id, 0, IPC_STAT, &info), "IPC_STAT", name);
  SemaphoreSetState set{ownership(id, info.sem_perm), info.sem_otime != 0, {}};
  std::vector<unsigned short> values(info.sem_nsems);
  check(::semctl(id, 0, GETALL, values.data()), "GETALL", name);
  for (std::size_t i = 0; i < values.size(); ++i)
    set.semaphores.push_back({values[i], check(::semctl(id, static_cast<int>(i), GETPID), "GETPID", name)});
  return set;
}

std::vector<SemaphoreSetState> list_foreign_semaphores() {
  std::vector<SemaphoreSetState> sets;
  for (const SysvEntry& entry : parse_sysvipc(try_read_text("/proc/sysvipc/sem").value_or(""))) {
    try {
      sets.push_back(read_set(entry.id));
    } catch (const SystemError&) {  // somebody else's
    }
  }
  return sets;
}

// MSG_COPY gives the n-th message and leaves it there, and the queue's times with it (Linux >= 3.8,
// CONFIG_CHECKPOINT_RESTORE).
static std::optional<Refusal> read_queue(std::int32_t id, MessageQueueState& queue, std::size_t& total) {
  const std::string name = fmt::format("message queue {}", id);
  msqid_ds info{};
  check(::msgctl(id, IPC_STAT, &info), "IPC_STAT", name);
  queue.owner = ownership(id, info.msg_perm);
  queue.max_bytes = info.msg_qbytes;
  total += info.__msg_cbytes + info.msg_qnum * sizeof(MessageState);
  if (total > kMostMessageBytes) return Refusal{fmt::format("has too much in message queue {}", id)};
  std::vector<std::byte> buffer(sizeof(long) + info.__msg_cbytes);
  for (msgqnum_t i = 0; i < info.msg_qnum; ++i) {
    const ssize_t n = ::msgrcv(id, buffer.data(), info.__msg_cbytes, static_cast<long>(i), MSG_COPY | IPC_NOWAIT);
    if (n < 0 && errno == ENOSYS) return Refusal{"has a message queue, which the kernel here does not show"};
    check(n, "MSG_COPY", name);
    long type = 0;
    std::copy_n(buffer.begin(), sizeof type, reinterpret_cast<std::byte*>(&type));
    const auto text = std::span(buffer).subspan(sizeof type, static_cast<std::size_t>(n));
    queue.messages.push_back({type, {text.begin(), text.end()}});
  }
  return std::nullopt;
}

// A queue of mq_overview(7) lives on when nobody has it open. Seen in a mount of its file system that is nowhere (Linux
// >= 5.2); where that can't be had, only queues that are open are found, among the descriptors.
static std::optional<Refusal> find_posix_queue() {
  const UniqueFd context(::fsopen("mqueue", FSOPEN_CLOEXEC));
  if (!context || ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return std::nullopt;
  const UniqueFd mounted(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!mounted) return std::nullopt;
  const int folder = ::openat(mounted.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = folder < 0 ? nullptr : ::fdopendir(folder);
  std::optional<Refusal> found;
  while (const dirent* entry = entries == nullptr ? nullptr : ::readdir(entries)) {
    if (entry->d_name[0] != '.') found = Refusal{fmt::format("has a POSIX message queue, /{}", entry->d_name)};
  }
  if (entries != nullptr) ::closedir(entries);
  return found;
}

Or<IpcDump> collect_ipc(TreeObjects& objects) {
  IpcDump dump;
  if (auto refusal = find_posix_queue()) return *refusal;
  if (auto refusal = collect_segments(objects, dump)) return *refusal;
  for (const SysvEntry& entry : parse_sysvipc(read_text("/proc/sysvipc/sem")))
    dump.state.semaphore_sets.push_back(read_set(entry.id));
  std::size_t message_bytes = 0;
  for (const SysvEntry& entry : parse_sysvipc(read_text("/proc/sysvipc/msg"))) {
    if (auto refusal = read_queue(entry.id, dump.state.queues.emplace_back(), message_bytes)) return *refusal;
  }
  return dump;
}

void name_removed_segments(const TreeObjects& objects, IpcState& state) {
  for (const auto& [id, segment] : objects.segments) {
    if (segment.index < state.segments.size() && state.segments[segment.index].removed)
      state.segments[segment.index].owner.key = segment.key;
  }
}

static std::vector<bool> populated(const AttachedSegment& segment, const SegmentState& state, bool swapped,
                                   const HugePages& huge_pages) {
  const std::size_t pages = state.mapped_bytes() / kPageBytes;
  if (state.huge_shift != 0) {
    std::vector<bool> there(pages);
    for (std::size_t i = 0; i < pages; ++i) there[i] = huge_pages[i * kPageBytes >> state.huge_shift];
    return there;
  }
  if (swapped) return std::vector<bool>(pages, true);  // mincore(2) leaves those out
  std::vector<unsigned char> resident(pages);
  check(::mincore(const_cast<std::byte*>(segment.begin()), pages * kPageBytes, resident.data()), "mincore");
  std::vector<bool> there(pages);
  for (std::size_t i = 0; i < pages; ++i) there[i] = (resident[i] & 1) != 0;
  return there;
}

void write_segments(const IpcDump& dump, ImageWriter& writer) {
  constexpr std::size_t kMostPages = 32;
  for (std::size_t i = 0; i < dump.segments.size(); ++i) {
    const std::byte* begin = dump.segments[i].begin();
    const auto there = populated(dump.segments[i], dump.state.segments[i], dump.swapped[i], dump.huge_pages[i]);
    for (std::size_t page = 0; page < there.size();) {
      std::size_t end = page;
      while (end < there.size() && end - page < kMostPages && there[end]) ++end;
      if (end > page) {
        const IpcDataState piece{
            static_cast<std::uint32_t>(i), page * kPageBytes, {begin + page * kPageBytes, begin + end * kPageBytes}};
        if (dump.state.segments[i].huge_shift == 0 || !all_zero(piece.bytes)) writer.add(RecordType::IpcData, piece);
      }
      page = std::max(end, page + 1);
    }
  }
}

}  // namespace drover
