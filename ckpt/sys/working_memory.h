// Memory made ready before a tree is frozen. A process that has just started faults in every page that malloc() hands
// out, and gives large buffers back after use only to fault them in again: while others stand still for it.
#pragma once

#include <cstddef>

namespace drover {

// WrittenTo costs more, and saves that later: for who is not waited for yet.
enum class Readiness { There, WrittenTo };

// malloc() takes the next `bytes` from pages that are there already, for all threads from one heap, and keeps what is
// freed; so has the table of descriptors its pages, for 1024. For programs whose whole work is a dump or a restore; to
// be called once, before threads are made. Where memory is scarce nothing is lost but time.
void prepare_working_memory(std::size_t bytes = std::size_t{4} << 20, Readiness = Readiness::WrittenTo);

}  // namespace drover
