// Asynchronous I/O (io_setup(2)): contexts keep their ids, their unread events and what waits in them, and a thread that
// submits and reads all the time loses nothing and gets nothing twice.
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "tracee.h"

struct ring {
  unsigned id, slots, head, tail, magic, compatible, incompatible, header;
  struct io_event events[];
};
enum { kFileBytes = 4096, kUnread = 40, kRead = 240 };

static int file;
static char buffer[kFileBytes];

static aio_context_t setup(unsigned requests) {
  aio_context_t context = 0;
  CHECK(syscall(SYS_io_setup, requests, &context) == 0);
  return context;
}
static struct ring *ring_of(aio_context_t context) { return (struct ring *)context; }
static void submit(aio_context_t context, struct iocb *request) {
  CHECK(syscall(SYS_io_submit, context, 1, &request) == 1);
}
static long get(aio_context_t context, long least, long most, struct io_event *events) {
  struct timespec none = {0, 0};
  return syscall(SYS_io_getevents, context, least, most, events, least == 0 ? &none : NULL);
}

// Ends at once; its result is the number of bytes.
static struct iocb read_request(unsigned bytes, uint64_t data) {
  return (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (unsigned)file, .aio_data = data,
                       .aio_buf = (uintptr_t)buffer, .aio_nbytes = bytes};
}
static struct iocb poll_request(int fd, uint64_t data) {
  return (struct iocb){.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (unsigned)fd, .aio_buf = POLLIN, .aio_data = data};
}

static void submit_and_read(aio_context_t context, int times) {
  for (int i = 0; i < times; ++i) {
    struct iocb request = read_request(7, (uint64_t)i);
    struct io_event event;
    submit(context, &request);
    CHECK(get(context, 1, 1, &event) == 1 && event.data == (uint64_t)i && event.res == 7);
  }
}

static struct iocb unread[kUnread];

static void leave_unread(aio_context_t context) {
  submit_and_read(context, kRead);
  for (unsigned i = 0; i < kUnread; ++i) {
    unread[i] = read_request(i + 1, 1000 + i);
    submit(context, &unread[i]);
  }
}

static void expect_unread(aio_context_t context) {
  struct io_event events[kUnread + 1];
  CHECK(get(context, 0, kUnread + 1, events) == kUnread);
  for (unsigned i = 0; i < kUnread; ++i)
    CHECK(events[i].data == 1000 + i && events[i].obj == (uintptr_t)&unread[i] && events[i].res == i + 1);
}

struct waiter {
  aio_context_t context;
  struct io_event event;
};
static void *wait_for_event(void *arg) {
  struct waiter *waiter = arg;
  CHECK(get(waiter->context, 1, 1, &waiter->event) == 1);
  return NULL;
}

// Requests that end a little later, each with a number of its own.
static int over;
static void *work(void *arg) {
  enum { kAtOnce = 8 };
  aio_context_t context = *(aio_context_t *)arg;
  struct iocb requests[kAtOnce];
  long number = 0;
  for (; !__atomic_load_n(&over, __ATOMIC_SEQ_CST) && failures == 0; number += kAtOnce) {
    struct io_event events[kAtOnce + 1];
    for (int i = 0; i < kAtOnce; ++i) {
      requests[i] = (struct iocb){.aio_lio_opcode = i % 2 ? IOCB_CMD_FSYNC : IOCB_CMD_PREAD, .aio_fildes = (unsigned)file,
                                  .aio_data = (uint64_t)(number + i), .aio_buf = i % 2 ? 0 : (uintptr_t)buffer};
      submit(context, &requests[i]);
    }
    int seen = 0;
    for (int n = 0; n < kAtOnce;) {
      const long more = get(context, 1, kAtOnce + 1, events);
      CHECK(more > 0 && n + more <= kAtOnce);
      if (more <= 0) return NULL;
      for (long i = 0; i < more; ++i) {
        CHECK(events[i].data - (uint64_t)number < kAtOnce && events[i].res == 0);
        seen |= 1 << (events[i].data - (uint64_t)number);
      }
      n += (int)more;
    }
    CHECK(seen == (1 << kAtOnce) - 1);
  }
  CHECK(number > 0);
  return NULL;
}

// Requests that take their time: the file has not been written to the disk yet.
enum { kSlow = 16, kSlowMib = 48 };
static struct iocb slow[kSlow];
static char slow_path[] = "/tmp/drover-test-aio-XXXXXX";

static void begin_slow(aio_context_t context) {
  static char mib[1024 * 1024];
  memset(mib, 'x', sizeof mib);
  int fd = mkstemp(slow_path);
  for (int i = 0; i < kSlowMib; ++i) CHECK(write(fd, mib, sizeof mib) == (ssize_t)sizeof mib);
  for (unsigned i = 0; i < kSlow; ++i) {
    slow[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_FSYNC, .aio_fildes = (unsigned)fd, .aio_data = i};
    submit(context, &slow[i]);
  }
}

static void expect_slow(aio_context_t context) {
  struct io_event events[kSlow + 1];
  CHECK(get(context, kSlow, kSlow + 1, events) == kSlow);
  unsigned seen = 0;
  for (int i = 0; i < kSlow; ++i) {
    CHECK(events[i].data < kSlow && events[i].obj == (uintptr_t)&slow[events[i].data] && events[i].res == 0);
    seen |= 1U << events[i].data;
  }
  CHECK(seen == (1U << kSlow) - 1);
  struct io_event more;
  CHECK(get(context, 0, 1, &more) == 0);
  unlink(slow_path);
}

static void expect_poll(aio_context_t context, int write_end, struct iocb *request) {
  struct io_event event;
  CHECK(get(context, 0, 1, &event) == 0);
  const uint64_t one = 1;
  CHECK(write(write_end, &one, sizeof one) == sizeof one);
  CHECK(get(context, 1, 1, &event) == 1 && event.data == request->aio_data && event.obj == (uintptr_t)request);
  CHECK(event.res & POLLIN);
}

int main(void) {
  const int killed = getenv("DROVER_KILLED_DUMPS") != NULL;  // what is under way may be lost then
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  file = memfd_create("content", 0);
  CHECK(ftruncate(file, kFileBytes) == 0);

  aio_context_t wrapped = setup(100), empty = setup(1), large = setup(1500), polls = setup(10), busy = setup(20);
  aio_context_t signalling = setup(1);
  leave_unread(wrapped);
  submit_and_read(empty, 5);
  struct iocb in_large = read_request(11, 77);
  for (int i = 0; i < 1200; ++i) submit(large, &in_large);
  const struct ring before[] = {*ring_of(wrapped), *ring_of(empty), *ring_of(large)};
  CHECK(before[0].tail < before[0].head && before[1].tail == before[1].head && before[2].tail == 1200);
  CHECK(madvise(ring_of(large), (before[2].slots + 1) * sizeof(struct io_event), MADV_DONTFORK) == 0);

  int counter = eventfd(0, 0), signalled = eventfd(0, 0), ends[2], late[2];
  CHECK(pipe(ends) == 0 && pipe(late) == 0);
  struct iocb on_counter = poll_request(counter, 0xc0), on_pipe = poll_request(ends[0], 0xc1);
  struct iocb on_late = poll_request(late[0], 0xc2);
  on_pipe.aio_flags = IOCB_FLAG_RESFD, on_pipe.aio_resfd = (unsigned)signalled;
  aio_context_t forgetting = setup(1), slow_one = setup(1);
  struct iocb forgotten = poll_request(ends[0], 0xc3);
  struct waiter waiter = {setup(3), {0}};
  pthread_t threads[2];
  if (!killed) {
    submit(polls, &on_counter);
    submit(signalling, &on_pipe);
    submit(forgetting, &forgotten);
    forgotten.aio_data = 0;  // the kernel has its own copy
    submit(waiter.context, &on_late);
    pthread_create(&threads[0], NULL, wait_for_event, &waiter);
    pthread_create(&threads[1], NULL, work, &busy);
    begin_slow(slow_one);  // last, so that they are under way when the first move comes
  }

  ready_and_wait();

  const aio_context_t contexts[] = {wrapped, empty, large};
  for (int i = 0; i < 3; ++i) {
    const struct ring *now = ring_of(contexts[i]);
    CHECK(now->slots == before[i].slots && now->head == before[i].head && now->tail == before[i].tail);
  }
  expect_unread(wrapped);
  submit_and_read(wrapped, 600);
  leave_unread(wrapped);
  expect_unread(wrapped);
  submit_and_read(empty, 600);
  static struct io_event events[1201];
  CHECK(get(large, 0, 1201, events) == 1200);
  for (int i = 0; i < 1200; ++i) CHECK(events[i].data == 77 && events[i].obj == (uintptr_t)&in_large && events[i].res == 11);
  submit_and_read(large, 5000);

  if (!killed) {
    const uint64_t one = 1;
    uint64_t signals = 0;
    struct io_event event;
    CHECK(get(forgetting, 0, 1, &event) == 1 && event.data == 0xc3 && event.res == 0);
    expect_slow(slow_one);
    expect_poll(polls, counter, &on_counter);
    CHECK(write(late[1], &one, sizeof one) == sizeof one);
    CHECK(pthread_join(threads[0], NULL) == 0 && waiter.event.data == 0xc2 && (waiter.event.res & POLLIN));
    __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
    pthread_join(threads[1], NULL);
    expect_poll(signalling, ends[1], &on_pipe);
    CHECK(read(signalled, &signals, sizeof signals) == sizeof signals && signals == 1);
  }
  for (int i = 0; i < 3; ++i) CHECK(syscall(SYS_io_destroy, contexts[i]) == 0);
  return done();
}
