// An image's metadata as values, read and checked for sense: every index in range, every area in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ckpt/image/reader.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/host.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/image/state/process.h"
#include "ckpt/image/state/signals.h"
#include "ckpt/image/state/thread.h"
#include "ckpt/image/state/timers.h"
#include "ckpt/restore/file_table.h"

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
  std::vector<ProcessImage> processes;  // the root first
};

// Everything up to and including the MetadataEnd record. Contents of files go to `files`, if that is given. Throws
// ImageError.
ImageModel read_metadata(ImageReader&, FileTable* files = nullptr);

}  // namespace drover
