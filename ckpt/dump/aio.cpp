// What is under way in a context of asynchronous I/O nobody can see, and only io_destroy(2) waits for it, which takes
// the context away. So a second one is made that looks like it, the ring's pages are kept alive by a pipe (vmsplice(2)
// takes the pages themselves, and the kernel goes on writing to them), the first is destroyed, the second takes its
// place, and what has ended meanwhile is read from the pipe. What matters happens in one batch, which a thread finishes
// even if we are killed.
#include "ckpt/dump/aio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>

#include "ckpt/dump/collect.h"
#include "ckpt/freeze/make_aio.h"
#include "ckpt/sys/text.h"

namespace drover {

namespace {

class ContextExchange {
 public:
  ContextExchange(InjectedArea& injected, const Mapping& area)
      : maker_{injected.leader(), injected.area()}, area_(area), address_(area.start) {}

  Or<AioContext> run() {
    if (auto refusal = look()) return *refusal;
    try {
      if (auto refusal = make_second()) return *refusal;
      fill_pipes();
    } catch (...) {
      undo();
      throw;
    }
    exchange();
    settle();
    return state_;
  }

 private:
  struct Pipe {
    int read_end = -1, write_end = -1;
    std::uint64_t offset = 0, bytes = 0;  // of the ring
  };

  std::optional<Refusal> look() {
    if (area_.bytes() >= sizeof ring_ && area_.offset == 0 && (area_.prot & PROT_READ) != 0)
      ring_ = maker_.memory().load<AioRing>(address_);
    if (!is_sound(ring_, area_.bytes()))
      return Refusal{fmt::format("has changed the ring of its asynchronous I/O at {:#x}", address_)};
    // fork(2) copies the mapping but not the context.
    Batch batch = maker_.area.main_batch();
    const auto asked = batch.may(SYS_io_getevents, address_, 0, 0, 0, 0);
    maker_.run(batch);
    if (batch.result(asked) != 0)
      return Refusal{fmt::format("has a ring of another process's asynchronous I/O at {:#x}", address_)};
    state_ = {address_, ring_.slots, ring_.head, ring_.tail, {}, {}};
    return std::nullopt;
  }

  std::optional<Refusal> make_second() {
    const auto argument = aio_setup_argument(ring_.slots, count_possible_cpus());
    if (!argument) return Refusal{fmt::format("has an aio context of {} slots, which can't be made", ring_.slots)};
    try {
      second_ = maker_.make(*argument, ring_.slots, ring_.head, ring_.tail);
    } catch (const SystemError& error) {
      if (error.error() != EAGAIN) throw;
      return Refusal{
          fmt::format("has an aio context of {} slots, and there is no room for a second (fs.aio-max-nr): {}",
                      ring_.slots, error.what()),
          true};
    }
    return std::nullopt;
  }

  void fill_pipes() {
    constexpr std::uint64_t kMost = 1024 * 1024, kUsual = 16 * kPageBytes;  // what an ordinary user's pipe holds
    for (std::uint64_t at = 0; at < area_.bytes(); at += kMost) {
      Pipe& pipe = pipes_.emplace_back();
      pipe.offset = at;
      pipe.bytes = std::min(kMost, area_.bytes() - at);
      Batch batch = maker_.area.main_batch();
      const auto ends = batch.space(2 * sizeof(int));
      batch.must("pipe2", SYS_pipe2, ends, O_CLOEXEC);
      maker_.run(batch);
      pipe.read_end = maker_.memory().load<int>(ends), pipe.write_end = maker_.memory().load<int>(ends + sizeof(int));
      batch.clear();
      if (pipe.bytes > kUsual) batch.must("F_SETPIPE_SZ", SYS_fcntl, pipe.write_end, F_SETPIPE_SZ, pipe.bytes);
      const std::uint64_t pages[] = {address_ + at, pipe.bytes};
      const auto spliced =
          batch.must("vmsplice", SYS_vmsplice, pipe.write_end, batch.push_value(pages), 1, SPLICE_F_NONBLOCK);
      maker_.run(batch);
      if (batch.result(spliced) != static_cast<long>(pipe.bytes)) throw SystemError("vmsplice", "an aio ring", EAGAIN);
    }
  }

  void add_closing(Batch& batch) {
    for (const Pipe& pipe : pipes_) {
      if (pipe.read_end < 0) continue;
      batch.may(SYS_close, pipe.read_end);
      batch.may(SYS_close, pipe.write_end);
    }
  }

  void undo() {
    Batch batch = maker_.area.main_batch();
    if (second_ != 0) batch.may(SYS_io_destroy, second_);
    add_closing(batch);
    if (!batch.empty()) maker_.run(batch);
  }

  void add_advice(Batch& batch) const {
    static constexpr std::pair<const char*, int> kAdvice[] = {{"dc", MADV_DONTFORK}, {"dd", MADV_DONTDUMP}};
    for (const auto& [flag, advice] : kAdvice) {
      if (area_.has_flag(flag)) batch.must("madvise aio ring", SYS_madvise, address_, area_.bytes(), advice);
    }
    if (area_.has_flag("lo")) batch.must("mlock aio ring", SYS_mlock, address_, area_.bytes());
    if (area_.prot != (PROT_READ | PROT_WRITE))
      batch.must("mprotect aio ring", SYS_mprotect, address_, area_.bytes(), area_.prot);
  }

  // Afterwards the place has the second context, with the events of the first.
  void exchange() {
    Batch batch = maker_.area.main_batch();
    const auto header = batch.space(sizeof ring_);
    batch.must("io_destroy", SYS_io_destroy, address_);
    AioMaker::add_move(batch, second_, address_, ring_.slots);
    batch.must("read aio ring", SYS_read, pipes_.front().read_end, header, sizeof ring_);
    for (const Pipe& pipe : pipes_) {
      const std::uint64_t skipped = pipe.offset == 0 ? sizeof ring_ : 0;
      batch.must("read aio ring", SYS_read, pipe.read_end, address_ + pipe.offset + skipped, pipe.bytes - skipped);
    }
    add_advice(batch);
    add_closing(batch);
    maker_.run(batch);
    last_ = maker_.memory().load<AioRing>(header);
  }

  void settle() {
    std::vector<AioEvent> kept, cancelled;
    for (const AioEvent& event : maker_.read_events(address_, ring_.slots, ring_.tail, last_.tail))
      (is_cancelled_poll(event) ? cancelled : kept).push_back(event);
    add_ended(kept);
    state_.unread = maker_.read_events(address_, ring_.slots, ring_.head, state_.tail);
    for (const AioEvent& event : cancelled) poll_again(event);
  }

  // Those of one kind, behind what is there.
  void add_ended(std::span<const AioEvent> events) {
    constexpr int kAttempts = 100;  // slots may be set aside for another processor
    const auto done = [&] {
      return aio_distance(state_.tail, maker_.memory().load<AioRing>(address_).tail, ring_.slots);
    };
    for (int attempt = 0; attempt < kAttempts && done() < events.size(); ++attempt)
      maker_.complete(address_, ring_.slots, 0, events.size() - done());
    maker_.write_events(address_, ring_.slots, state_.tail, events);
    state_.tail = static_cast<std::uint32_t>((state_.tail + events.size()) % ring_.slots);
  }

  // A poll that ends by itself tells what for (aio_poll_complete_work()).
  bool is_cancelled_poll(const AioEvent& event) const {
    const auto request = load_request(event.object);
    return event.result == 0 && event.result2 == 0 && request && request->aio_lio_opcode == IOCB_CMD_POLL &&
           request->aio_data == event.data;
  }

  std::optional<iocb> load_request(std::uint64_t address) const {
    iocb request{};
    if (!maker_.memory().try_read(address, std::as_writable_bytes(std::span(&request, 1)))) return std::nullopt;
    return request;
  }

  void poll_again(const AioEvent& event) {
    const auto request = load_request(event.object);
    const bool signals = request && (request->aio_flags & IOCB_FLAG_RESFD) != 0;
    if (signals) take_signal_back(static_cast<int>(request->aio_resfd));
    if (maker_.submit(address_, event.object) == 0) {
      state_.polls.push_back(event.object);
      return;
    }
    // Its descriptor has been closed: it goes on being cancelled.
    const std::uint32_t tail = maker_.memory().load<AioRing>(address_).tail;
    maker_.complete(address_, ring_.slots, 0, 1);
    maker_.write_events(address_, ring_.slots, tail, {&event, 1});
    state_.unread.push_back(event);
    state_.tail = (state_.tail + 1) % ring_.slots;
  }

  // The end that the program has not asked for was counted in an eventfd. One that is a semaphore gives only one.
  void take_signal_back(int fd) {
    Batch batch = maker_.area.main_batch();
    const auto count_at = batch.space(sizeof(std::uint64_t));
    const std::uint64_t to[] = {count_at, sizeof(std::uint64_t)};
    const auto got = batch.may(SYS_preadv2, fd, batch.push_value(to), 1, -1, -1, RWF_NOWAIT);
    maker_.run(batch);
    const auto count = maker_.memory().load<std::uint64_t>(count_at);
    if (batch.result(got) != sizeof count || count <= 1) return;
    batch.clear();
    batch.must("write eventfd", SYS_write, fd, batch.push_value(count - 1), sizeof count);
    maker_.run(batch);
  }

  AioMaker maker_;
  const Mapping& area_;
  std::uint64_t address_, second_ = 0;
  AioRing ring_{}, last_{};  // of the first context, before and after
  std::vector<Pipe> pipes_;
  AioContext state_;
};

}  // namespace

static std::optional<Refusal> settle_process(FrozenProcess& process, std::vector<AioContext>& contexts) {
  if (read_text(proc_path(process.pid, "maps")).find(kAioRingPath) == std::string::npos) return std::nullopt;
  const auto mappings = parse_smaps(read_text(proc_path(process.pid, "smaps")));
  FilterMap unused;
  if (auto refusal = collect_seccomp(process, unused)) return refusal;
  InjectedArea injected(process);
  for (const Mapping& mapping : mappings) {
    if (mapping.path != kAioRingPath) continue;
    auto settled = ContextExchange(injected, mapping).run();
    if (auto* refusal = std::get_if<Refusal>(&settled)) return std::move(*refusal);
    contexts.push_back(std::move(std::get<AioContext>(settled)));
  }
  return std::nullopt;
}

std::optional<Refusal> settle_aio(FrozenTree::Impl& tree, std::span<const SharedState> sharing, AioContexts& contexts) {
  for (std::size_t i = 0; i < tree.processes.size(); ++i) {
    FrozenProcess& process = tree.processes[i];
    if (sharing[i].memory != 0) continue;
    if (auto refusal = settle_process(process, contexts[process.pid])) return refusal;
  }
  return std::nullopt;
}

}  // namespace drover
