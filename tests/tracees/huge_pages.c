// Memory in huge pages (hugetlbfs): of its own, shared with children, of memfds, and of System V. What is there stays,
// what is not there costs no page. An argument: a folder on
// hugetlbfs for files there, one with a name and one without.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tracee.h"

#define HUGE ((size_t)2 << 20)
enum { kInHugePages = MAP_ANONYMOUS | MAP_HUGETLB, kReadWrite = PROT_READ | PROT_WRITE };

static long pages_in_table(void) {
  char line[256];
  long kib, all = 0;
  FILE *file = fopen("/proc/self/smaps_rollup", "r");
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "Private_Hugetlb: %ld", &kib) == 1 || sscanf(line, "Shared_Hugetlb: %ld", &kib) == 1) all += kib;
  }
  fclose(file);
  return all / (long)(HUGE / 1024);
}

static long page_kib(const void *at) {
  char line[512];
  unsigned long start, end, wanted = (unsigned long)at;
  long kib = 0;
  int inside = 0;
  FILE *file = fopen("/proc/self/smaps", "r");
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) inside = start <= wanted && wanted < end;
    if (inside) sscanf(line, "KernelPageSize: %ld", &kib);
  }
  fclose(file);
  return kib;
}

static long pages_of(int fd) {
  struct stat info;
  CHECK(fstat(fd, &info) == 0 && (size_t)info.st_blksize == HUGE);
  return info.st_blocks / (long)(HUGE / 512);
}

static int all_are(const char *from, size_t bytes, char what) {
  for (size_t i = 0; i < bytes; ++i) {
    if (from[i] != what) return 0;
  }
  return 1;
}

static char *map(size_t pages, int prot, int flags, int fd, size_t offset) {
  char *at = mmap(NULL, pages * HUGE, prot, flags, fd, (off_t)(offset * HUGE));
  CHECK(at != MAP_FAILED);
  if (at == MAP_FAILED) exit(1);
  return at;
}

static void run_child(char *shared, char *file, int *go) {
  strcpy(shared + 2 * HUGE + 9, "of the child");
  __atomic_store_n(&go[0], 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&go[1], __ATOMIC_SEQ_CST)) usleep(1000);
  int fine = strcmp(shared + 100, "after the moves") == 0 && strcmp(file + 300, "after the moves, too") == 0;
  strcpy(shared + HUGE, "an answer");
  strcpy(file + HUGE + 5, "another");
  _exit(fine && failures == 0 ? 0 : 1);
}

int main(int argc, char **argv) {
  char *own = map(3, kReadWrite, MAP_PRIVATE | kInHugePages, -1, 0);
  strcpy(own + 5000, "in the first");
  memset(own + 2 * HUGE, 'x', HUGE);
  CHECK(mprotect(own + 2 * HUGE, HUGE, PROT_READ) == 0);
  CHECK(pages_in_table() == 2);

  // The fourth page of it only the child has touched, the fifth one that is gone, the second nobody; the last is
  // unmapped.
  char *shared = map(6, kReadWrite, MAP_SHARED | kInHugePages, -1, 0);
  memset(shared, 's', 50);
  CHECK(munmap(shared + 5 * HUGE, HUGE) == 0);

  int file = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC | MFD_ALLOW_SEALING), plain = memfd_create("", MFD_HUGETLB);
  CHECK(ftruncate(file, 4 * HUGE) == 0 && ftruncate(plain, 2 * HUGE) == 0);
  char *of_file = map(2, kReadWrite, MAP_SHARED, file, 1), *copy = map(2, kReadWrite, MAP_PRIVATE, file, 1);
  strcpy(of_file + 300, "in the second page of a file");
  memset(of_file + 5000, 'h', 5000);
  memset(copy, 0, HUGE);  // hides them
  copy[7] = 'c';
  CHECK(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 && lseek(file, 12345, SEEK_SET) == 12345);
  // Mapped, and closed.
  int closed = memfd_create("closed", MFD_HUGETLB);
  CHECK(ftruncate(closed, 3 * HUGE) == 0);
  char *of_closed = map(3, kReadWrite, MAP_SHARED, closed, 0);
  char *copy_of_closed = map(3, kReadWrite, MAP_PRIVATE, closed, 0);
  close(closed);
  strcpy(of_closed, "hidden");
  memset(copy_of_closed, 0, HUGE);

  int id = shmget(0x4e, 2 * HUGE + 100, SHM_HUGETLB | IPC_CREAT | 0600);
  char *segment = id < 0 ? NULL : shmat(id, NULL, 0), *reader = id < 0 ? NULL : shmat(id, NULL, SHM_RDONLY);
  if (id < 0) CHECK(errno == EPERM);  // not ours to have
  if (id >= 0) {
    strcpy(segment + HUGE + 77, "in a segment");
    CHECK(munmap(segment + 2 * HUGE, HUGE) == 0);
  }

  char path[256], *named = NULL, *unlinked = NULL;
  int by_name = -1;
  if (argc > 1) {
    snprintf(path, sizeof path, "%s/drover-tracee-XXXXXX", argv[1]);
    by_name = mkstemp(path);
    CHECK(by_name >= 0 && ftruncate(by_name, 3 * HUGE) == 0);
    named = map(2, kReadWrite, MAP_SHARED, by_name, 1);
    strcpy(named + 11, "by its name");
    char other[] = "/drover-tracee-XXXXXX", gone_path[300];
    snprintf(gone_path, sizeof gone_path, "%s%s", argv[1], other);
    int nameless = mkstemp(gone_path);
    CHECK(ftruncate(nameless, 2 * HUGE) == 0 && unlink(gone_path) == 0);
    unlinked = map(1, kReadWrite, MAP_SHARED, nameless, 1);
    strcpy(unlinked + 12, "without a name");
  }

  int *go = mmap(NULL, 4096, kReadWrite, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t gone = fork(), status = 0;
  if (gone == 0) {
    strcpy(shared + 4 * HUGE + 44, "of one that is gone");
    strcpy(of_closed + 2 * HUGE, "of it, too");
    _exit(0);
  }
  CHECK(waitpid(gone, &status, 0) == gone && status == 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK(munmap(own, 3 * HUGE) == 0 && munmap(copy, 2 * HUGE) == 0);
    CHECK(munmap(copy_of_closed, 3 * HUGE) == 0);
    run_child(shared + HUGE, of_file, go);
  }
  while (!__atomic_load_n(&go[0], __ATOMIC_SEQ_CST)) usleep(1000);
  CHECK(mprotect(shared + 4 * HUGE, HUGE, PROT_NONE) == 0 && mprotect(of_closed, HUGE, PROT_NONE) == 0);

  ready_and_wait();

  // Those of the files are in nobody's page table yet.
  CHECK(pages_in_table() == 2 + 3 + 2 && pages_of(file) == 1 && pages_of(plain) == 0);
  CHECK(strcmp(own + 5000, "in the first") == 0 && own[0] == 0 && all_are(own + 2 * HUGE, HUGE, 'x'));
  own[HUGE] = 'y';
  CHECK(mprotect(own + 2 * HUGE, 4096, kReadWrite) < 0);  // parts of a huge page have no protection of their own
  CHECK(page_kib(own) == 2048 && page_kib(shared) == 2048 && page_kib(of_file) == 2048 && page_kib(of_closed) == 2048);

  CHECK(mprotect(shared + 4 * HUGE, HUGE, kReadWrite) == 0 && mprotect(of_closed, HUGE, kReadWrite) == 0);
  CHECK(strcmp(of_closed, "hidden") == 0 && all_are(copy_of_closed, HUGE, 0));
  CHECK(strcmp(copy_of_closed + 2 * HUGE, "of it, too") == 0);
  CHECK(all_are(shared, 50, 's') && strcmp(shared + 4 * HUGE + 44, "of one that is gone") == 0);
  CHECK(strcmp(shared + 3 * HUGE + 9, "of the child") == 0);
  CHECK(strcmp(of_file + 300, "in the second page of a file") == 0 && all_are(of_file + 5000, 5000, 'h'));
  CHECK(copy[7] == 'c' && all_are(copy + 8, HUGE - 8, 0) && pages_of(file) == 1);
  char text[32] = {0};
  CHECK(lseek(file, 0, SEEK_CUR) == 12345 && pread(file, text, 20, HUGE + 314) == 20);
  CHECK(strcmp(text, "page of a file") == 0 && pread(file, text, 20, 0) == 20 && all_are(text, 20, 0));
  CHECK(fcntl(file, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW) && ftruncate(file, HUGE) < 0);
  struct stat info;
  CHECK(fstat(file, &info) == 0 && (size_t)info.st_size == 4 * HUGE && fcntl(file, F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(plain, F_GET_SEALS) == F_SEAL_SEAL && fstat(plain, &info) == 0 && (size_t)info.st_size == 2 * HUGE);
  CHECK(strcmp(of_closed + 2 * HUGE, "of it, too") == 0);
  if (id >= 0) {
    CHECK(strcmp(segment + HUGE + 77, "in a segment") == 0 && strcmp(reader + HUGE + 77, "in a segment") == 0);
    strcpy(segment + 3, "seen through both");
    CHECK(strcmp(reader + 3, "seen through both") == 0 && mprotect(reader, HUGE, kReadWrite) < 0);
    struct shmid_ds of_segment;
    CHECK(shmctl(id, IPC_STAT, &of_segment) == 0 && of_segment.shm_segsz == 2 * HUGE + 100);
    CHECK(page_kib(segment) == 2048 && page_kib(reader) == 2048 && shmget(0x4e, 1, 0) == id);
    CHECK(shmdt(segment) == 0 && shmdt(reader) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
  }

  if (argc > 1) {
    CHECK(strcmp(named + 11, "by its name") == 0 && pages_of(by_name) == 1 && page_kib(named) == 2048);
    CHECK(strcmp(unlinked + 12, "without a name") == 0 && page_kib(unlinked) == 2048);
    CHECK(unlink(path) == 0);
  }

  strcpy(shared + HUGE + 100, "after the moves");
  strcpy(of_file + 300, "after the moves, too");
  __atomic_store_n(&go[1], 1, __ATOMIC_SEQ_CST);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(strcmp(shared + 2 * HUGE, "an answer") == 0 && strcmp(of_file + HUGE + 5, "another") == 0);
  return done();
}
