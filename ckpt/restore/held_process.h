// A tree being restored: the image it comes from, and the stopped threads that run system calls for us until it is let
// go. The stages work on it one after the other.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ckpt/freeze/release.h"
#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/freeze/still_waiting.h"
#include "ckpt/restore/image_model.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"

namespace drover {

struct HeldProcess {
  HeldProcess(ProcessImage& from, const HostState& host_state)
      : image(from), host(host_state), pid(from.process.pid), memory(pid) {}

  ProcessImage& image;
  const HostState& host;
  pid_t pid;
  RemoteMemory memory;
  RemoteArea area;
  std::vector<std::unique_ptr<RemoteSyscalls>> threads;  // in the order of image.threads
  // Which of the areas have their final protection and can't be written to: those that have no contents so far.
  std::vector<bool> closed_areas;
  bool made = false;               // there is a process
  bool main_thread_ended = false;  // and left the list, here and in the image
  int parked_fd = 0;   // from here on lie all open files of the tree, until the program's own descriptors are in place
  int objects_fd = 0;  // after the open files, the objects
  int terminals_fd = 0;  // after these, the slaves of all terminals
  int free_fd = 0;       // and from here on nothing

  const SharedState& shared() const { return image.process.shared; }
  pid_t memory_holder() const { return shared().memory != 0 ? shared().memory : pid; }
  bool zombie() const { return image.process.zombie; }
  RemoteSyscalls& leader() { return *threads.front(); }
  Batch batch() const { return area.main_batch(); }
  void run(Batch& batch) { leader().run(area, batch); }
  // Runs what is in the batch if less than `bytes` are free in it, and begins anew.
  void make_room(Batch& batch, std::size_t bytes) {
    if (batch.room() >= bytes) return;
    run(batch);
    batch.clear();
  }
};

// An object of shared anonymous memory, where all processes have inherited it.
struct SharedObject {
  std::uint64_t address = 0, bytes = 0;
  unsigned huge_shift = 0;  // in huge pages of that size
  bool reserved = false;    // not only when they are touched

  std::uint64_t alignment() const { return std::uint64_t{1} << std::max(huge_shift, 12U); }
};

// A segment of System V shared memory, attached where all processes inherit it.
struct SegmentKey {
  std::uint32_t index = 0;  // into IpcState::segments
  bool writable = true;     // else attached with SHM_RDONLY, which no mprotect(2) can change
  bool operator<(const SegmentKey& other) const {
    return index != other.index ? index < other.index : writable < other.writable;
  }
  static SegmentKey of(const AreaState& area) { return {area.file, (area.flags & kAreaMayWrite) != 0}; }
};

struct RestoredTree {
  ImageModel model;
  FileTable files;
  IpcTable ipc;
  SocketNames socket_names;
  std::list<ProcessImage> helper_images;
  std::list<HeldProcess> processes;     // the root first, in the order of the image
  std::list<HeldProcess> helpers;       // ended again before the tree is let go
  std::list<SeenThrough> seen_through;  // processes whose main thread has ended
  std::map<std::uint32_t, SharedObject> shared_memory;
  bool other_vdso = false;  // than the one that the program has
  std::map<SegmentKey, SharedObject> segments;
  std::vector<std::string> notes;  // HeldTree::notes()
  std::vector<int> node_cpus;      // RestoreOptions::node_cpus

  HeldProcess& root() { return processes.front(); }
  bool has_filters() const {
    return std::any_of(processes.begin(), processes.end(), [](const HeldProcess& held) {
      return std::any_of(held.image.threads.begin(), held.image.threads.end(),
                         [](const ThreadState& thread) { return !thread.seccomp.empty(); });
    });
  }
  bool has_process(pid_t pid) const {
    return std::any_of(processes.begin(), processes.end(), [pid](const HeldProcess& held) { return held.pid == pid; });
  }
};

// The stages, in the order of restore.cpp, each in a file of its own name.
void enter_time_namespace(const HostState&, bool live);
void make_root(RestoredTree&, const RestoreOptions&);                                              // make_root.cpp
void make_tree(RestoredTree&);                                                                     // make_tree.cpp
void take_controlling_terminal(HeldProcess& leader, const OpenFilesState&, std::int32_t session);  // terminals.cpp
void map_memory(HeldProcess&, const RestoredTree&);                                                // map_memory.cpp
void make_aio_contexts(HeldProcess&);                                                              // restore_aio.cpp
void submit_polls(HeldProcess&);                                                                   // restore_aio.cpp
void restore_semaphores(RestoredTree&);                           // restore_semaphores.cpp
void enter_gone_directory(HeldProcess&);                          // open_files.cpp
void map_same_vdso(HeldProcess&);                                 // vdso.cpp
void check_old_vdso(HeldProcess&);                                // vdso.cpp
void map_other_vdso(HeldProcess&);                                // vdso.cpp
void fill_pages(std::list<HeldProcess>&, ImageReader&);           // fill_pages.cpp
void finish_memory(HeldProcess&);                                 // finish_memory.cpp
void set_descriptors(HeldProcess&, const OpenFilesState&);        // open_files.cpp
void take_locks(HeldProcess&);                                    // open_files.cpp
void seek_process_files(HeldProcess&, const OpenFilesState&);     // open_files.cpp
void watch_files(HeldProcess&, const OpenFilesState&);            // open_files.cpp
void set_process_attributes(HeldProcess&);                        // process_attributes.cpp
void make_threads(HeldProcess&, std::span<const int> node_cpus);  // make_threads.cpp
void end_zombies(RestoredTree&);                                  // end_zombies.cpp
void stop_and_continue(RestoredTree&);                            // stop_and_continue.cpp
// Takes a signal out of its queue that was none of the program's; what really was pending is queued later.
void forget_signal(HeldProcess&, int signal);
void set_foreground_groups(RestoredTree&);  // terminals.cpp
void restore_signals(HeldProcess&);         // restore_signals.cpp
void create_timers(HeldProcess&);           // restore_timers.cpp
// If it had when the process was dumped. Another thread takes its place as the one that works for us.
void end_main_thread(HeldProcess&, RestoredTree&);  // end_main_thread.cpp
// What takes the credentials of a thread on that has those of `now` and all our capabilities.
void add_credentials(Batch&, const ThreadState&, const TaskStatus& now, const ProcessState&);
// Those that make_threads() leaves to the moment when the program is let go: who works for us needs ours until then,
// filters want a thread's credentials as they are, and some have no room in a thread's slot.
inline bool takes_credentials_late(const HeldProcess& held, std::size_t index) {
  const ThreadState& thread = held.image.threads[index];
  const bool takes_over = index == 1 && held.image.process.main_thread_ended && !held.main_thread_ended;
  return index == 0 || takes_over || !thread.seccomp.empty() || thread.credentials.groups.size() > 64;
}
// When the program is let go; `passed_ns` since it was frozen, as its clocks count it.
void restore_credentials(HeldProcess&);
// Until then an ordinary process of few threads is bound as we are (sys/one_processor.h).
void set_late_affinity(const HeldProcess&, std::span<const int> node_cpus);  // make_threads.cpp
// `armed`: timerfds that a process before has armed; they may be shared.
void arm_timers(HeldProcess&, const OpenFilesState&, std::set<std::uint32_t>& armed, std::int64_t passed_ns);
// False if that can't be done, or there is nothing to it: then the timer is armed like any other.
bool arm_with_overrun(HeldProcess&, const PosixTimer&, std::int64_t rest_ns);  // restore_overruns.cpp
// Threads in their system calls, nothing of ours in the process any more: what is left is release_threads(). `last`:
// our area goes, since no other process needs it in the same memory.
std::vector<ThreadRelease> prepare_release(HeldProcess&, std::int64_t passed_ns, bool last, std::vector<KnownWait>&);
// Stops a process that was stopped, and tells its parent (if that is in the tree) no more than it knew.
void release_stopped(HeldProcess&, HeldProcess* parent, std::span<const ThreadRelease>);

// A `syscall` instruction in the working area.
std::uint64_t syscall_instruction(const HeldProcess&);

}  // namespace drover
