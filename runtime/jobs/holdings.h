// What the processes of a job hold, as far as a move has to pay for it: memory, open files, connections, and the CPU
// time that they have had.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

namespace drover {

// Of one process: /proc/PID/status. Linux >= 4.5 tells the three kinds of resident pages apart; before, all of them
// count as anonymous.
struct MemoryHeld {
  std::uint64_t anonymous_kib = 0;  // its own, changed private pages of files too
  std::uint64_t shared_kib = 0;     // anonymous shared ones, shm and memfd
  std::uint64_t file_kib = 0;       // of files: mapped again elsewhere, not sent
  std::uint64_t swapped_kib = 0;    // read back in for a move
  std::uint64_t resident_kib() const { return anonymous_kib + shared_kib + file_kib; }
};
MemoryHeld parse_memory_held(std::string_view status);

struct Holdings {
  MemoryHeld memory;       // the sum: pages that processes share are counted for each
  int files = 0;           // open descriptors other than connections
  int connections = 0;     // sockets
  double cpu_seconds = 0;  // with those of children that have ended and were waited for
  pid_t largest = 0;       // who holds the most anonymous memory (or one of its threads)
};

// Of the process, all below it, and the orphans that `reaper` (its parent, which lives for this tree alone; 0: none)
// has taken in. What ends meanwhile, or may not be read, counts as nothing.
Holdings holdings_of_tree(pid_t root, pid_t reaper);

// How many of a process's private anonymous pages in memory are full of zeros, 0 to 1, from a sample of at most
// `pages` of them. Only pages that are there are read, so nothing is made by looking. 0 where it can't be known: the
// process may not be read, or has few such pages.
double sample_zero_share(pid_t pid, unsigned pages, std::uint64_t seed);

}  // namespace drover
