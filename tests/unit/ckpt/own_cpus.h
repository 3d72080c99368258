#pragma once

#include <sched.h>

namespace drover {

// Where the calling thread may run.
inline cpu_set_t own_cpus() {
  cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  return cpus;
}

}  // namespace drover
