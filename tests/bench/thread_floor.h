// What the kernel takes at least to stop, end, make and start a process of many threads, without looking at it.
#pragma once

namespace drover {

struct ThreadFloor {
  double stop_ms = 0;   // seize and interrupt all, and take their registers
  double end_ms = 0;    // kill and reap them
  double make_ms = 0;   // fork, and threads made by clone(2) one after the other, until all have run
  double start_ms = 0;  // put their registers back, and detach
  double sum_ms() const { return stop_ms + end_ms + make_ms + start_ms; }
};

// Throws SystemError.
ThreadFloor measure_thread_floor(int threads);

}  // namespace drover
