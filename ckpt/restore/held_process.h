// A tree being restored: the image it comes from, and the stopped threads that run system calls for us until it is let
// go. The stages work on it one after the other.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "ckpt/freeze/release.h"
#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/freeze/still_waiting.h"
#include "ckpt/restore/image_model.h"
#include "ckpt/restore/restore.h"

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
  bool made = false;                                     // there is a process
  int parked_fd = 0;   // from here on lie all open files of the tree, until the program's own descriptors are in place
  int objects_fd = 0;  // after the open files, the objects
  int free_fd = 0;     // and from here on nothing

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
};

struct RestoredTree {
  ImageModel model;
  FileTable files;
  SocketNames socket_names;
  std::list<ProcessImage> helper_images;
  std::list<HeldProcess> processes;  // the root first, in the order of the image
  std::list<HeldProcess> helpers;    // ended again before the tree is let go
  std::map<std::uint32_t, SharedObject> shared_memory;

  HeldProcess& root() { return processes.front(); }
};

// The stages, in the order of restore.cpp, each in a file of its own name.
void enter_time_namespace(const HostState&, bool live);
void make_root(RestoredTree&, const RestoreOptions&);       // make_root.cpp
void make_tree(RestoredTree&);                              // make_tree.cpp
void map_memory(HeldProcess&, const RestoredTree&);         // map_memory.cpp
void fill_pages(std::list<HeldProcess>&, ImageReader&);     // fill_pages.cpp
void finish_memory(HeldProcess&);                           // finish_memory.cpp
void set_descriptors(HeldProcess&, const OpenFilesState&);  // open_files.cpp
void take_locks(HeldProcess&);                              // open_files.cpp
void watch_files(HeldProcess&, const OpenFilesState&);      // open_files.cpp
void set_process_attributes(HeldProcess&);                  // process_attributes.cpp
void make_threads(HeldProcess&, const RestoreOptions&);     // make_threads.cpp
void end_zombies(RestoredTree&);                            // end_zombies.cpp
void restore_signals(HeldProcess&);                         // restore_signals.cpp
void create_timers(HeldProcess&);                           // restore_timers.cpp
// When the program is let go; `passed_ns` since it was frozen, as its clocks count it.
void restore_credentials(HeldProcess&);
// `armed`: timerfds that a process before has armed; they may be shared.
void arm_timers(HeldProcess&, const OpenFilesState&, std::set<std::uint32_t>& armed, std::int64_t passed_ns);
// Threads in their system calls, nothing of ours in the process any more: what is left is release_threads().
std::vector<ThreadRelease> prepare_release(HeldProcess&, std::int64_t passed_ns, std::vector<KnownWait>&);
// Stops a process that was stopped, and tells its parent (if that is in the tree) no more than it knew.
void release_stopped(HeldProcess&, HeldProcess* parent, std::span<const ThreadRelease>);

// A `syscall` instruction in the working area.
std::uint64_t syscall_instruction(const HeldProcess&);

}  // namespace drover
