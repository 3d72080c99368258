#include "runtime/load/calibration/loads.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint64_t kPage = 4096;

// Lets something happen so many times a second, evenly to about a millisecond. What was missed is not made up for.
class Pace {
 public:
  explicit Pace(double per_second) : per_second_(per_second), next_(Clock::now()) {}
  void wait() {
    if (std::isinf(per_second_)) return;
    next_ += std::chrono::duration_cast<Clock::duration>(Seconds(1 / per_second_));
    const auto now = Clock::now();
    if (next_ < now - std::chrono::milliseconds(10)) next_ = now;
    if (const auto ahead = next_ - now; ahead > std::chrono::microseconds(500)) sleep_for(ahead);
  }
  static void sleep_for(Clock::duration duration) {
    const auto ns = std::chrono::nanoseconds(duration).count();
    const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
    ::nanosleep(&time, nullptr);
  }

 private:
  double per_second_;
  Clock::time_point next_;
};

std::uint64_t next_random(std::uint64_t& state) {  // xorshift64
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

std::uint64_t random_chunk(const DiskFile& file, std::uint64_t& state) {  // the offset of one
  const std::uint64_t chunks = std::max<std::uint64_t>(1, file.bytes / kChunkBytes);
  return next_random(state) % chunks * kChunkBytes;
}

// The unit of the compute probe: dependent integer work over a table of 16 KiB.
void compute_unit(std::array<std::uint64_t, 2048>& table, std::uint64_t& state) {
  for (int i = 0; i < 4000; ++i) {
    std::uint64_t& slot = table[next_random(state) % table.size()];
    slot = slot * 6364136223846793005ULL + state;
    state ^= slot >> 33;
    state |= 1;  // xorshift's state must never be 0
  }
}

struct Computing {
  std::array<std::uint64_t, 2048> table{};
  std::uint64_t state = 88172645463325252ULL;
  void units(int count) {
    for (int i = 0; i < count; ++i) compute_unit(table, state);
  }
};

void* aligned_buffer(std::size_t bytes) {
  void* buffer = std::aligned_alloc(kPage, bytes);
  if (buffer == nullptr) throw SystemError("allocate", "a buffer", ENOMEM);
  std::fill_n(static_cast<unsigned char*>(buffer), bytes, 0x5a);
  return buffer;
}

void read_at(const DiskFile& file, void* buffer, std::uint64_t bytes, std::uint64_t offset) {
  if (!file.direct)
    ::posix_fadvise(file.fd.get(), static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
  check(::pread(file.fd.get(), buffer, bytes, static_cast<off_t>(offset)), "read", "the calibration's file");
}

void write_at(const DiskFile& file, const void* buffer, std::uint64_t bytes, std::uint64_t offset) {
  check(::pwrite(file.fd.get(), buffer, bytes, static_cast<off_t>(offset)), "write", "the calibration's file");
  if (!file.direct) check(::fdatasync(file.fd.get()), "fdatasync", "the calibration's file");
}

const volatile unsigned char* map_for_faults(const DiskFile& file) {
  void* begin = ::mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd.get(), 0);
  if (begin == MAP_FAILED) throw SystemError("mmap", "the calibration's file", errno);
  ::madvise(begin, file.bytes, MADV_RANDOM);  // no read-ahead: each page is a fault of its own
  return static_cast<const volatile unsigned char*>(begin);
}

}  // namespace

void burn_cpu(double share) {
  Computing work;
  constexpr Seconds kPeriod{0.01};
  for (auto next = Clock::now();;) {
    const auto begin = next;
    next += std::chrono::duration_cast<Clock::duration>(kPeriod);
    while (Clock::now() < begin + kPeriod * share) work.units(1);
    if (share < 1) Pace::sleep_for(std::max(Clock::duration::zero(), next - Clock::now()));
    next = std::max(next, Clock::now() - std::chrono::milliseconds(20));
  }
}

void move_blocks(const DiskFile& file, double bytes_per_second) {
  void* buffer = aligned_buffer(kChunkBytes);
  std::uint64_t random = static_cast<std::uint64_t>(::getpid()) | 1;
  Pace pace(bytes_per_second / static_cast<double>(kChunkBytes));
  for (bool writing = false;; writing = !writing) {
    const std::uint64_t offset = random_chunk(file, random);
    if (writing)
      write_at(file, buffer, kChunkBytes, offset);
    else
      read_at(file, buffer, kChunkBytes, offset);
    pace.wait();
  }
}

void fault_pages(const DiskFile& file, double pages_per_second) {
  const volatile unsigned char* bytes = map_for_faults(file);
  Pace pace(pages_per_second);
  for (std::uint64_t at = 0;; at = at + kPage < file.bytes ? at + kPage : 0) {
    static_cast<void>(bytes[at]);
    pace.wait();
  }
}

void ping(int from, int to, double per_second) {
  Pace pace(per_second);
  for (char byte = 0;;) {
    if (::write(to, &byte, 1) != 1 || ::read(from, &byte, 1) != 1) ::_exit(1);
    pace.wait();
  }
}

void pong(int from, int to) {
  for (char byte = 0;;)
    if (::read(from, &byte, 1) != 1 || ::write(to, &byte, 1) != 1) ::_exit(1);
}

void expire_timers(double per_second) {
  ::prctl(PR_SET_TIMERSLACK, 1);  // the default of 50 us lets the kernel put timers together
  const auto period = std::chrono::duration_cast<Clock::duration>(Seconds(1 / per_second));
  timespec next{};
  ::clock_gettime(CLOCK_MONOTONIC, &next);
  for (;;) {
    const std::int64_t ns = next.tv_nsec + std::chrono::nanoseconds(period).count();
    next = {next.tv_sec + ns / 1'000'000'000, ns % 1'000'000'000};
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > next.tv_sec || (now.tv_sec == next.tv_sec && now.tv_nsec > next.tv_nsec)) next = now;
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
  }
}

void hold_memory(std::uint64_t bytes, bool dense, std::atomic<std::uint64_t>& filled,
                 const std::atomic<std::uint64_t>& stop) {
  constexpr std::uint64_t kPiece = 16 << 20;
  for (std::uint64_t done = 0; done < bytes && stop == 0; done += kPiece) {
    void* piece = ::mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (piece == MAP_FAILED) break;
    if (dense) ::madvise(piece, kPiece, MADV_HUGEPAGE);
    for (std::uint64_t at = 0; at < kPiece; at += kPage) static_cast<volatile unsigned char*>(piece)[at] = 1;
    filled += kPiece;
  }
  for (;;) ::pause();
}

void compute_probe(Work& work) {
  Computing computing;
  for (;;) {
    computing.units(1);
    work.fetch_add(1, std::memory_order_relaxed);
  }
}

void disk_probe(Work& work, const DiskFile& file) {
  Computing computing;
  void* buffer = aligned_buffer(64 * 1024);
  for (std::uint64_t random = 4711;;) {
    computing.units(50);
    read_at(file, buffer, 64 * 1024, random_chunk(file, random));
    write_at(file, buffer, 16 * 1024, random_chunk(file, random));
    work.fetch_add(1, std::memory_order_relaxed);
  }
}

void paging_probe(Work& work, const DiskFile& file) {
  Computing computing;
  const volatile unsigned char* bytes = map_for_faults(file);
  for (std::uint64_t at = 0; at < file.bytes; at += kPage) static_cast<void>(bytes[at]);  // the first time is no paging
  for (std::uint64_t at = 0;; at = at + kPage < file.bytes ? at + kPage : 0) {
    static_cast<void>(bytes[at]);
    computing.units(1);
    work.fetch_add(1, std::memory_order_relaxed);
  }
}

void memory_probe(Work& work) {
  Computing computing;
  constexpr std::uint64_t kPiece = 1 << 20;
  for (;;) {
    void* piece = ::mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (piece == MAP_FAILED) continue;  // no memory: no work
    for (std::uint64_t at = 0; at < kPiece; at += kPage) static_cast<volatile unsigned char*>(piece)[at] = 1;
    ::munmap(piece, kPiece);
    computing.units(20);
    work.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace drover
