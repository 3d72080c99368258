// An image's metadata as values, read and checked for sense: every index in range, every area in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ckpt/image/reader.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/host.h"
#include "ckpt/image/state/ipc.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/image/state/process.h"
#include "ckpt/image/state/signals.h"
#include "ckpt/image/state/thread.h"
#include "ckpt/image/state/timers.h"
#include "ckpt/restore/file_table.h"
#include "ckpt/restore/ipc_table.h"

namespace drover {

struct ProcessImage {
  ProcessState process;  // of a zombie there is nothing else
  MemoryState memory;
  FilesState files;
  SignalsState signals;
  TimersState timers;
  std::vector<ThreadState> threads;  // the leader first
};

struct ImageModel {
  HostState host;
  std::vector<std::byte> context;
  OpenFilesState open_files;
  std::optional<IpcState> ipc;          // if the tree had an IPC namespace to itself
  std::vector<ProcessImage> processes;  // the root first
};

// Where what an image holds besides values is made as it is read.
struct ImageObjects {
  FileTable& files;
  IpcTable& ipc;
  bool ipc_namespace;  // RestoreOptions::ipc_namespace
};

// Everything up to and including the MetadataEnd record. Contents of files and segments go to `objects`, if that is
// given. Throws ImageError, and what making those throws.
ImageModel read_metadata(ImageReader&, ImageObjects* objects = nullptr);

}  // namespace drover
