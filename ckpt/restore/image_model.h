// An image's metadata as values, read and checked for sense: every index in range, every area in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "ckpt/image/reader.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/host.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/image/state/process.h"
#include "ckpt/image/state/signals.h"
#include "ckpt/image/state/thread.h"
#include "ckpt/image/state/timers.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

struct ProcessImage {
  ProcessState process;
  MemoryState memory;
  FilesState files;
  SignalsState signals;
  TimersState timers;
  std::vector<ThreadState> threads;  // the leader first
};

struct ImageModel {
  HostState host;
  std::vector<std::byte> context;
  std::vector<ProcessImage> processes;  // the root first
  // Unlinked files and pipes, made again and filled. The second part of the key: the write end of a pipe.
  std::map<std::pair<std::uint64_t, bool>, UniqueFd> nameless;
};

// Everything up to and including the MetadataEnd record. Throws ImageError.
ImageModel read_metadata(ImageReader&);

}  // namespace drover
