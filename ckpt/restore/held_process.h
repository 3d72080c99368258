// A process being restored: the image it comes from, and the stopped threads that run system calls for us until it is
// let go. The stages work on it one after the other.
#pragma once

#include <memory>
#include <vector>

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
  int parked_fd = 0;      // descriptors from here on are ours, until the program's own are in place
  int inherited_fds = 0;  // how many of them came with the blank process

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

// The stages, in the order of restore.cpp, each in a file of its own name.
void enter_time_namespace(const HostState&, bool live);
void make_process(HeldProcess&, const RestoreOptions&, const ImageModel&);  // make_process.cpp
void map_memory(HeldProcess&);                                              // map_memory.cpp
void fill_pages(std::vector<HeldProcess*>&, ImageReader&);                  // fill_pages.cpp
void finish_memory(HeldProcess&);                                           // finish_memory.cpp
void open_files(HeldProcess&, const RestoreOptions&, const ImageModel&);    // open_files.cpp
void set_process_attributes(HeldProcess&);                                  // process_attributes.cpp
void make_threads(HeldProcess&, const RestoreOptions&);                     // make_threads.cpp
void restore_signals(HeldProcess&);                                         // restore_signals.cpp
void create_timers(HeldProcess&);                                           // restore_timers.cpp
// When the program is let go; `passed_ns` since it was frozen, as its clocks count it.
void restore_credentials(HeldProcess&);
void arm_timers(HeldProcess&, std::int64_t passed_ns);
StillWaiting release_process(HeldProcess&, std::int64_t passed_ns);

}  // namespace drover
