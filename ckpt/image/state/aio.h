// Contexts of asynchronous I/O (io_setup(2)). Nothing is under way in them: what was has ended, or is begun again.
#pragma once

#include <cstdint>
#include <vector>

namespace drover {

struct AioEvent {  // struct io_event
  std::uint64_t data = 0, object = 0;
  std::int64_t result = 0, result2 = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& data& object& result& result2;
  }
};
static_assert(sizeof(AioEvent) == 32);

struct AioContext {
  std::uint64_t address = 0;  // of its ring, which is its id as well
  std::uint32_t slots = 0, head = 0, tail = 0;
  std::vector<AioEvent> unread;      // those from head to tail
  std::vector<std::uint64_t> polls;  // requests of IOCB_CMD_POLL that wait: where the program has their struct iocb
  template <class A>
  void serialize(A& a, unsigned) {
    a& address& slots& head& tail& unread& polls;
  }
};

}  // namespace drover
