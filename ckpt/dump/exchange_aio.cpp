#include "ckpt/dump/exchange_aio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>

#include "ckpt/image/format.h"
#include "ckpt/sys/text.h"

namespace drover {

AioExchange::AioExchange(pid_t pid, InjectedArea& injected, Mapping area)
    : pid_(pid),
      injected_(injected),
      maker_{injected.leader(), injected.area()},
      area_(std::move(area)),
      address_(area_.start) {}

AioExchange::~AioExchange() {
  if (exchanged_ || batch_) return;
  try {
    Batch batch = maker_.area.main_batch();
    if (second_ != 0) batch.may(SYS_io_destroy, second_);
    add_closing(batch);
    maker_.run(batch);
  } catch (const std::exception&) {  // the process is gone
  }
}

std::optional<Refusal> AioExchange::look() {
  constexpr std::uint64_t kMostBytes = 32 * 1024 * 1024;  // half of what an object of an image holds
  // The ring would lose it, and the thread's own rights would be in our way.
  if (area_.protection_key != 0)
    return Refusal{fmt::format("has a protection key on the ring of its asynchronous I/O at {:#x}", address_)};
  if (area_.offset == 0 && (area_.prot & PROT_READ) != 0) ring_ = maker_.memory().load<AioRing>(address_);
  if (!is_sound(ring_, area_.bytes()))
    return Refusal{fmt::format("has changed the ring of its asynchronous I/O at {:#x}", address_)};
  if (area_.bytes() > kMostBytes) return Refusal{fmt::format("has an aio context of {} slots", ring_.slots)};
  // fork(2) copies the mapping but not the context.
  Batch batch = maker_.area.main_batch();
  const auto asked = batch.may(SYS_io_getevents, address_, 0, 0, 0, 0);
  maker_.run(batch);
  if (batch.result(asked) != 0)
    return Refusal{fmt::format("has inherited the ring of a parent's asynchronous I/O, at {:#x}", address_)};
  state_ = {address_, ring_.slots, ring_.head, ring_.tail, {}, {}};
  return std::nullopt;
}

std::optional<Refusal> AioExchange::prepare() {
  const auto argument = aio_setup_argument(ring_.slots, count_possible_cpus());
  if (!argument) return Refusal{fmt::format("has an aio context of {} slots, which can't be made", ring_.slots)};
  try {
    second_ = maker_.make(*argument, ring_.slots, ring_.head, ring_.tail);
  } catch (const SystemError& error) {
    if (error.error() != EAGAIN) throw;
    return Refusal{fmt::format("has an aio context of {} slots, and a second one can't be had (fs.aio-max-nr): {}",
                               ring_.slots, error.what())};
  }
  fill_pipes();
  return std::nullopt;
}

void AioExchange::fill_pipes() {
  constexpr std::uint64_t kMost = 1024 * 1024, kUsual = 16 * kPageBytes;  // what an ordinary user's pipe may hold
  for (std::uint64_t at = 0; at < area_.bytes(); at += kMost) {
    Batch batch = maker_.area.main_batch();
    const auto ends = batch.space(2 * sizeof(int));
    batch.must("pipe2", SYS_pipe2, ends, O_CLOEXEC);
    maker_.run(batch);
    const auto [read_end, write_end] = maker_.memory().load<std::array<int, 2>>(ends);
    const Pipe& pipe = pipes_.emplace_back(Pipe{read_end, write_end, at, std::min(kMost, area_.bytes() - at)});
    batch.clear();
    if (pipe.bytes > kUsual) batch.must("F_SETPIPE_SZ", SYS_fcntl, pipe.write_end, F_SETPIPE_SZ, pipe.bytes);
    const std::uint64_t pages[] = {address_ + at, pipe.bytes};
    const auto spliced =
        batch.must("vmsplice", SYS_vmsplice, pipe.write_end, batch.push_value(pages), 1, SPLICE_F_NONBLOCK);
    maker_.run(batch);
    if (batch.result(spliced) != static_cast<long>(pipe.bytes)) throw SystemError("vmsplice", "an aio ring", EAGAIN);
  }
}

void AioExchange::add_closing(Batch& batch) const {
  for (const Pipe& pipe : pipes_) {
    batch.may(SYS_close, pipe.read_end);
    batch.may(SYS_close, pipe.write_end);
  }
}

void AioExchange::add_advice(Batch& batch) const {
  static constexpr std::pair<const char*, int> kAdvice[] = {{"dc", MADV_DONTFORK}, {"dd", MADV_DONTDUMP}};
  for (const auto& [flag, advice] : kAdvice) {
    if (area_.has_flag(flag)) batch.must("madvise aio ring", SYS_madvise, address_, area_.bytes(), advice);
  }
  if (area_.has_flag("lo")) batch.must("mlock aio ring", SYS_mlock, address_, area_.bytes());
  if (area_.prot != (PROT_READ | PROT_WRITE))
    batch.must("mprotect aio ring", SYS_mprotect, address_, area_.bytes(), area_.prot);
}

// Afterwards the place has the second context, with the events of the first.
void AioExchange::begin(std::size_t thread) {
  Batch batch = injected_.batch(thread);
  header_ = batch.space(sizeof ring_);
  batch.must("io_destroy", SYS_io_destroy, address_);
  AioMaker::add_move(batch, second_, address_, ring_.slots);
  // The mark of the second one is overwritten, what comes before it is the kernel's.
  constexpr std::uint64_t kOwn = offsetof(AioRing, compatible_features);
  batch.must("read aio ring", SYS_read, pipes_.front().read_end, header_, kOwn);
  for (const Pipe& pipe : pipes_) {
    const std::uint64_t skipped = pipe.offset == 0 ? kOwn : 0;
    batch.must("read aio ring", SYS_read, pipe.read_end, address_ + pipe.offset + skipped, pipe.bytes - skipped);
  }
  add_advice(batch);
  add_closing(batch);
  thread_ = thread;
  batch_.emplace(std::move(batch));
  const RemoteSyscalls::Task task[] = {{&injected_.thread(thread), &*batch_}};
  RemoteSyscalls::start(injected_.area(), task);
}

void AioExchange::finish() {
  const RemoteSyscalls::Task task[] = {{&injected_.thread(thread_), &*batch_}};
  RemoteSyscalls::finish(task);
  last_ = maker_.memory().load<AioRing>(header_);
  exchanged_ = true;
}

void AioExchange::settle() {
  std::vector<AioEvent> kept, cancelled;
  for (const AioEvent& event : maker_.read_events(address_, ring_.slots, ring_.tail, last_.tail % ring_.slots))
    (is_cancelled_poll(event) ? cancelled : kept).push_back(event);
  add_ended(kept);
  state_.unread = maker_.read_events(address_, ring_.slots, ring_.head, state_.tail);
  for (const AioEvent& event : cancelled) poll_again(event);
}

// Behind what is there.
void AioExchange::add_ended(std::span<const AioEvent> events) {
  constexpr int kAttempts = 100;  // slots may be set aside for another processor
  const auto done = [&] {
    return aio_distance(state_.tail, maker_.memory().load<AioRing>(address_).tail, ring_.slots);
  };
  for (int attempt = 0; attempt < kAttempts && done() < events.size(); ++attempt)
    maker_.complete(address_, ring_.slots, 0, events.size() - done());
  maker_.write_events(address_, ring_.slots, state_.tail, events);
  state_.tail = static_cast<std::uint32_t>((state_.tail + events.size()) % ring_.slots);
}

static std::optional<iocb> load_request(const RemoteMemory& memory, std::uint64_t address) {
  iocb request{};
  if (!memory.try_read(address, std::as_writable_bytes(std::span(&request, 1)))) return std::nullopt;
  return request;
}

// A poll that ends by itself tells what for (aio_poll_complete_work()).
bool AioExchange::is_cancelled_poll(const AioEvent& event) const {
  const auto request = load_request(maker_.memory(), event.object);
  return event.result == 0 && event.result2 == 0 && request && request->aio_lio_opcode == IOCB_CMD_POLL &&
         request->aio_data == event.data;
}

void AioExchange::poll_again(const AioEvent& event) {
  const auto request = load_request(maker_.memory(), event.object);
  if (request && (request->aio_flags & IOCB_FLAG_RESFD) != 0) take_signal_back(static_cast<int>(request->aio_resfd));
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
void AioExchange::take_signal_back(int fd) const {
  // The number may belong to something else by now.
  if (try_read_link(proc_path(pid_, fmt::format("fd/{}", fd))) != "anon_inode:[eventfd]") return;
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

}  // namespace drover
