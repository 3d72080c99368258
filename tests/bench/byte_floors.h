#pragma once

namespace drover {

// What the bytes of 1 GiB cost without us: read from another process, written to /dev/shm, read into fresh memory.
struct ByteFloors {
  double read_ms = 0, write_ms = 0, fill_ms = 0;
};

ByteFloors measure_byte_floors();

}  // namespace drover
