// The program whose downtime is measured (heartbeat.c), and where it writes.
#pragma once

#include <sys/types.h>

#include <string>

namespace drover {

constexpr std::size_t kGib = std::size_t{1} << 30;
inline const std::string kImage = "/dev/shm/drover-bench-image", kGap = "/dev/shm/drover-bench-gap";

enum class How {
  ThroughFile,  // dumped to a file by the library, and restored from it
  Streamed,     // by the library, from one PID namespace into another
  Commands,     // `drover-ckpt dump` and `restore` from a shell, by an ordinary user
};

struct Case {
  const char* name;
  int threads, mib;
  const char* fill;
  How how;
};

void pause_ms(long ms);

// `line` of what the program has written, 0 or 1; empty if it is not there yet.
std::string gap_line(int line);

// Takes as much memory as a run is about to and frees it, in a process of its own. A virtual machine may have given
// free memory back to its host (free page reporting, Linux >= 5.7), and the host takes its time for each page that is
// taken again, which is not what is measured here.
void warm_memory();

// For a child that is about to exec: ends it with exit code 126 if that can't be.
void become(uid_t user, gid_t group);

// A child of the caller, whose largest gap begins to count now. `user`: who runs it, 0: who we are. Throws if it ends
// at once.
pid_t start_heartbeat(const std::string& program, const Case&, uid_t user = 0, gid_t group = 0);

}  // namespace drover
