#include "ckpt/restore/ipc_table.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ckpt/image/error.h"
#include "ckpt/image/format.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"

namespace drover {

static constexpr unsigned kShmHugeShift = 26;  // SHM_HUGE_SHIFT

namespace {

// Objects belong for ever to the effective user that makes them (cuid of struct ipc_perm). Only root can be another
// one; the calls are made directly, since the C library's are for all threads.
class ActAs {
 public:
  explicit ActAs(const IpcOwnership& owner) {
    if (::geteuid() != 0 || (owner.creator_uid == 0 && owner.creator_gid == ::getegid())) return;
    changed_ = true;
    ::syscall(SYS_setresgid, -1, owner.creator_gid, -1);
    ::syscall(SYS_setresuid, -1, owner.creator_uid, -1);
  }
  ~ActAs() {
    if (!changed_) return;
    ::syscall(SYS_setresuid, -1, 0, -1);
    ::syscall(SYS_setresgid, -1, group_, -1);
  }
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  bool changed_ = false;
  gid_t group_ = ::getegid();
};

}  // namespace

// The id that the next object shall have (kernel.shm_next_id and its kind, Linux >= 3.8, CONFIG_CHECKPOINT_RESTORE).
// Where it can't be chosen, objects in a fresh namespace may have it all the same.
template <class Make>
static int make_object(const char* kind, const IpcOwnership& owner, Make&& make) {
  try {
    write_text(fmt::format("/proc/sys/kernel/{}_next_id", kind), std::to_string(owner.id));
  } catch (const SystemError&) {
  }
  const std::string name = fmt::format("System V object {} ({})", owner.id, kind);
  int id = -1;
  {
    const ActAs creator(owner);
    id = make(static_cast<int>(owner.mode) | IPC_CREAT | IPC_EXCL);
  }
  return check(id, "make", name);
}

static void check_id(int id, const IpcOwnership& owner) {
  if (id != owner.id) throw SystemError("give a System V object its id", std::to_string(owner.id), EEXIST);
}

template <class Info>
static void set_owner(ipc_perm& perm, const IpcOwnership& owner, Info& info, int (*control)(int, Info&)) {
  const bool same = perm.uid == owner.uid && perm.gid == owner.gid && (perm.mode & 0777u) == owner.mode;
  if (same) return;
  perm.uid = owner.uid, perm.gid = owner.gid;
  perm.mode = static_cast<unsigned short>(owner.mode);
  check(control(owner.id, info), "set the owner of a System V object", std::to_string(owner.id));
}

IpcTable::Attached IpcTable::make_segment(const SegmentState& segment) {
  const auto make = [&](int flags) {
    if (segment.huge_shift != 0) flags |= SHM_HUGETLB | static_cast<int>(segment.huge_shift << kShmHugeShift);
    const int id = ::shmget(segment.owner.key, segment.bytes, flags);
    // Made so that it may be larger than what there is. (Huge pages are set aside at once, or there may be none later.)
    return id < 0 && errno == ENOMEM && segment.huge_shift == 0
               ? ::shmget(segment.owner.key, segment.bytes, flags | SHM_NORESERVE)
               : id;
  };
  const int id = make_object("shm", segment.owner, make);
  if (!segment.removed) remove_.emplace_back([id] { ::shmctl(id, IPC_RMID, nullptr); });
  void* at = ::shmat(id, nullptr, 0);
  const int error = errno;
  shmid_ds info{};
  const int known = ::shmctl(id, IPC_STAT, &info);
  if (segment.removed) ::shmctl(id, IPC_RMID, nullptr);  // its key may be another one's by now
  if (at == reinterpret_cast<void*>(-1)) throw SystemError("shmat", std::to_string(id), error);
  check(known, "IPC_STAT", std::to_string(id));
  check_id(id, segment.owner);
  set_owner<shmid_ds>(info.shm_perm, segment.owner, info,
                      [](int which, shmid_ds& to) { return ::shmctl(which, IPC_SET, &to); });
  if (segment.locked) check(::shmctl(id, SHM_LOCK, nullptr), "SHM_LOCK", std::to_string(id));
  return {static_cast<std::byte*>(at), segment.mapped_bytes()};
}

// Huge pages the machine may lack; and SHM_HUGETLB takes CAP_IPC_LOCK, the group of vm.hugetlb_shm_group, or as much
// memory that may be locked (hugetlb_file_setup()).
IpcTable::Attached IpcTable::try_segment(const SegmentState& segment) try {
  return make_segment(segment);
} catch (const SystemError& error) {
  if (segment.huge_shift == 0) throw;
  refusal_ = Refusal{
      fmt::format("System V shared memory {} in huge pages can't be made here: {}", segment.owner.id, error.what())};
  return {};
}

void IpcTable::make_set(const SemaphoreSetState& set) {
  const auto count = static_cast<int>(set.semaphores.size());
  const int id = make_object("sem", set.owner, [&](int flags) { return ::semget(set.owner.key, count, flags); });
  remove_.emplace_back([id] { ::semctl(id, 0, IPC_RMID); });
  check_id(id, set.owner);
  semid_ds info{};
  check(::semctl(id, 0, IPC_STAT, &info), "IPC_STAT", std::to_string(id));
  set_owner<semid_ds>(info.sem_perm, set.owner, info,
                      [](int which, semid_ds& to) { return ::semctl(which, 0, IPC_SET, &to); });
}

static void send(int id, const MessageState& message) {
  std::vector<std::byte> buffer(sizeof(long) + message.text.size());
  const long type = static_cast<long>(message.type);
  std::memcpy(buffer.data(), &type, sizeof type);
  std::copy(message.text.begin(), message.text.end(), buffer.begin() + sizeof type);
  check(::msgsnd(id, buffer.data(), message.text.size(), IPC_NOWAIT), "msgsnd", std::to_string(id));
}

void IpcTable::make_queue(const MessageQueueState& queue) {
  const int id = make_object("msg", queue.owner, [&](int flags) { return ::msgget(queue.owner.key, flags); });
  remove_.emplace_back([id] { ::msgctl(id, IPC_RMID, nullptr); });
  check_id(id, queue.owner);
  msqid_ds info{};
  check(::msgctl(id, IPC_STAT, &info), "IPC_STAT", std::to_string(id));
  // A limit that was lowered afterwards does not keep in what was there before; more than the namespace allows takes
  // CAP_SYS_RESOURCE.
  const auto set_limit = [&](std::uint64_t bytes) {
    if (info.msg_qbytes == bytes) return;
    info.msg_qbytes = bytes;
    check(::msgctl(id, IPC_SET, &info), "set the limit of message queue", std::to_string(id));
  };
  std::uint64_t content = 0;
  for (const MessageState& message : queue.messages) content += message.text.size();
  content = std::max<std::uint64_t>(content, queue.messages.size());  // it limits either
  if (content > info.msg_qbytes || queue.max_bytes > info.msg_qbytes) set_limit(std::max(content, queue.max_bytes));
  for (const MessageState& message : queue.messages) send(id, message);
  set_limit(queue.max_bytes);
  set_owner<msqid_ds>(info.msg_perm, queue.owner, info,
                      [](int which, msqid_ds& to) { return ::msgctl(which, IPC_SET, &to); });
}

void IpcTable::make(const IpcState& state, bool new_namespace) {
  if (new_namespace) check(::unshare(CLONE_NEWIPC), "unshare", "IPC namespace");
  segments_.resize(state.segments.size());
  // A removed one has let its key go, perhaps to one that was made later.
  for (const bool removed : {true, false}) {
    for (std::size_t i = 0; i < state.segments.size(); ++i) {
      if (state.segments[i].removed == removed) segments_[i] = try_segment(state.segments[i]);
    }
  }
  for (const SemaphoreSetState& set : state.semaphore_sets) make_set(set);
  for (const MessageQueueState& queue : state.queues) make_queue(queue);
}

void IpcTable::add_content(const IpcDataState& piece) {
  if (piece.segment >= segments_.size()) throw ImageError("damaged image: content of an unknown segment");
  const Attached& segment = segments_[piece.segment];
  if (segment.at == nullptr) return;  // refused
  if (piece.offset > segment.bytes || piece.bytes.size() > segment.bytes - piece.offset)
    throw ImageError("damaged image: more in a segment than fits");
  std::copy(piece.bytes.begin(), piece.bytes.end(), segment.at + piece.offset);
}

void IpcTable::detach() {
  for (const Attached& segment : segments_) {
    if (segment.at != nullptr) ::shmdt(segment.at);
  }
  segments_.clear();
}

IpcTable::~IpcTable() {
  detach();
  for (const auto& remove : remove_) remove();
}

}  // namespace drover
