// The spawner: a small process that droverd starts before MPI_Init and that makes its shepherds. A fork of droverd
// itself would inherit MPI's state and descriptors; a fork of this one is clean and takes a fraction of a millisecond.
#pragma once

#include <cstdint>
#include <string>

#include "ckpt/image/archive.h"
#include "ckpt/sys/unique_fd.h"

namespace drover::shepherd {

struct SpawnRequest {  // + 1 descriptor: the shepherd's end of its link to droverd
  std::int64_t job = 0, epoch = 0;
  std::string node_dir;
  bool namespaces = true;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& node_dir& namespaces;
  }
};

struct SpawnReply {
  std::int64_t job = 0, epoch = 0;
  std::int32_t pid = 0;  // of the shepherd's init, in droverd's PID namespace; negative: errno
  bool namespaces = false;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& pid& namespaces;
  }
};

// First message on the socket, spawner to droverd: what this host gives.
struct SpawnerHello {
  bool namespaces = false;
  std::string why_not;
  template <class A>
  void serialize(A& a, unsigned) {
    a& namespaces& why_not;
  }
};

// Serves requests on `socket` (SOCK_SEQPACKET) until droverd closes it; returns the exit code.
int run_spawner(UniqueFd socket);

}  // namespace drover::shepherd
