// System V IPC of a tree that has an IPC namespace to itself: everything that is in the namespace (sysvipc(7)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover {

struct IpcOwnership {  // struct ipc_perm
  std::int32_t id = 0;
  std::int32_t key = 0;
  std::uint32_t uid = 0, gid = 0, creator_uid = 0, creator_gid = 0;
  std::uint32_t mode = 0;  // permissions only
  template <class A>
  void serialize(A& a, unsigned) {
    a& id& key& uid& gid& creator_uid& creator_gid& mode;
  }
};

// Its content is in IpcData records. Areas of memory name it by its index.
struct SegmentState {
  IpcOwnership owner;  // of a removed one the key that it was made with, which maps still show
  std::uint64_t bytes = 0;
  bool removed = false;  // goes with its last attachment
  bool locked = false;
  std::uint32_t huge_shift = 0;  // in huge pages (SHM_HUGETLB): the binary logarithm of their size

  // What an attachment takes.
  std::uint64_t mapped_bytes() const {
    const std::uint64_t page = std::uint64_t{1} << (huge_shift != 0 ? huge_shift : 12);
    return (bytes + page - 1) / page * page;
  }
  template <class A>
  void serialize(A& a, unsigned) {
    a& owner& bytes& removed& locked& huge_shift;
  }
};

struct SemaphoreState {
  std::int32_t value = 0;
  std::int32_t last_process = 0;  // GETPID of semctl(2); 0: none
  template <class A>
  void serialize(A& a, unsigned) {
    a& value& last_process;
  }
};

struct SemaphoreSetState {
  IpcOwnership owner;
  bool used = false;  // semop(2) has been called: sem_otime is not 0, which programs look at
  std::vector<SemaphoreState> semaphores;
  template <class A>
  void serialize(A& a, unsigned) {
    a& owner& used& semaphores;
  }
};

// What a process's end adds to a semaphore (semadj, SEM_UNDO of semop(2)).
struct SemaphoreAdjustment {
  std::int32_t process = 0;
  std::uint32_t set = 0, semaphore = 0;  // index into IpcState::semaphore_sets, and in there
  std::int32_t value = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& process& set& semaphore& value;
  }
};

struct MessageState {
  std::int64_t type = 1;
  std::vector<std::byte> text;
  template <class A>
  void serialize(A& a, unsigned) {
    a& type& text;
  }
};

struct MessageQueueState {
  IpcOwnership owner;
  std::uint64_t max_bytes = 0;         // msg_qbytes
  std::vector<MessageState> messages;  // the oldest first
  template <class A>
  void serialize(A& a, unsigned) {
    a& owner& max_bytes& messages;
  }
};

struct IpcState {
  std::vector<SegmentState> segments;
  std::vector<SemaphoreSetState> semaphore_sets;
  std::vector<SemaphoreAdjustment> adjustments;
  std::vector<MessageQueueState> queues;
  template <class A>
  void serialize(A& a, unsigned) {
    a& segments& semaphore_sets& adjustments& queues;
  }
};

// A piece of the content of a segment. What no piece covers is zero.
struct IpcDataState {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;
  template <class A>
  void serialize(A& a, unsigned) {
    a& segment& offset& bytes;
  }
};

}  // namespace drover
