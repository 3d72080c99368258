// One context of asynchronous I/O of a frozen process, in which nothing is under way any more.
//
// Only io_destroy(2) waits for that, and it takes the context away. So a second one is made that looks like it, the
// ring's pages are kept alive by a pipe (vmsplice(2) takes the pages themselves, and the kernel goes on writing to
// them), the first is destroyed, the second takes its place, and what has ended meanwhile is read from the pipe. What
// matters is one batch, which a thread finishes even if we are killed.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/freeze/injected_area.h"
#include "ckpt/freeze/make_aio.h"
#include "ckpt/image/state/aio.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"

namespace drover {

class AioExchange {
 public:
  AioExchange(pid_t pid, InjectedArea& injected, Mapping area);
  AioExchange(const AioExchange&) = delete;
  // What was prepared and not begun is taken back.
  ~AioExchange();

  // The steps, in their order. Until begin() nothing has been done to the context.
  std::optional<Refusal> look();
  std::optional<Refusal> prepare();
  void begin(std::size_t thread);  // by this one, which is busy until finish(): some 30 ms
  void finish();
  void settle();

  AioContext take() { return std::move(state_); }

 private:
  struct Pipe {
    int read_end = -1, write_end = -1;
    std::uint64_t offset = 0, bytes = 0;  // of the ring
  };

  void fill_pipes();
  void add_closing(Batch&) const;
  void add_advice(Batch&) const;
  void add_ended(std::span<const AioEvent>);
  bool is_cancelled_poll(const AioEvent&) const;
  void poll_again(const AioEvent&);
  void take_signal_back(int fd) const;

  pid_t pid_;
  InjectedArea& injected_;
  AioMaker maker_;
  Mapping area_;
  std::uint64_t address_, second_ = 0;
  AioRing ring_{}, last_{};  // of the first context, before and after
  std::vector<Pipe> pipes_;
  std::optional<Batch> batch_;  // under way
  std::size_t thread_ = 0;
  std::uint64_t header_ = 0;
  bool exchanged_ = false;
  AioContext state_;
};

}  // namespace drover
