// Every kind of memory area, with its contents, protection and advice.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "tracee.h"

#define MIB (1 << 20)
static unsigned sum(const unsigned char* p, size_t n) {
  unsigned s = 0;
  for (size_t i = 0; i < n; ++i) s = s * 31 + p[i];
  return s;
}
static unsigned char* map(size_t n, int prot, int flags, int fd) { return mmap(NULL, n, prot, flags, fd, 0); }
static int resident(void* p, size_t n) {
  unsigned char v[2560];
  int r = 0;
  mincore(p, n, v);
  for (size_t i = 0; i < n / 4096; ++i) r += v[i] & 1;
  return r;
}

int main(void) {
  static char buffer[4096];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);  // no malloc() behind our back, which would move brk
  char path[] = "/tmp/drover-tracee-XXXXXX";
  int fd = mkstemp(path);
  CHECK(ftruncate(fd, MIB) == 0 && pwrite(fd, "original", 8, 0) == 8 && pwrite(fd, "second", 6, 8192) == 6);
  unsigned char* anon = map(4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  for (int i = 0; i < 4 * MIB; i += 7) anon[i] = (unsigned char)(i * 13);
  const unsigned anon_sum = sum(anon, 4 * MIB);
  mprotect(anon + MIB, MIB, PROT_READ);
  mprotect(anon + 2 * MIB, MIB, PROT_NONE);
  unsigned char* sparse = map(10 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  sparse[5 * MIB] = 9;
  for (int i = 0; i < 64; ++i) (void)*(volatile unsigned char*)&sparse[i * 4096];
  // Reserved without memory behind it, as the runtimes of languages do: more than the system would commit itself to.
  const size_t reserve = (size_t)256 << 30;
  unsigned char* reserved = map(reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  CHECK(reserved != MAP_FAILED && mprotect(reserved + reserve / 2, 4096, PROT_READ | PROT_WRITE) == 0);
  reserved[reserve / 2] = 8;
  CHECK(mprotect(reserved + reserve / 2, 4096, PROT_NONE) == 0);
  unsigned char* zeros = map(4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memset(zeros, 0, 4 * MIB);
  unsigned char* cow = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
  memcpy(cow, "modified", 8);
  unsigned char* shared_file = map(MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  memcpy(shared_file + 4096, "through", 7);
  unsigned char* shared = map(4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  strcpy((char*)shared + MIB, "shared");
  munmap(shared + 2 * MIB, MIB);  // two areas of one object
  unsigned char* again = mremap(shared, 0, MIB * 2, MREMAP_MAYMOVE);  // and a third that overlaps the first
  CHECK(again != MAP_FAILED && strcmp((char*)again + MIB, "shared") == 0);
  strcpy((char*)shared + 3 * MIB, "far part");
  unsigned char* huge = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(huge, 8 * MIB, MADV_HUGEPAGE);
  memset(huge, 7, 8 * MIB);
  madvise(anon, MIB, MADV_DONTFORK);
  madvise(zeros, MIB, MADV_WIPEONFORK);
  madvise(zeros + MIB, MIB, MADV_DONTDUMP);
  madvise(zeros + 2 * MIB, MIB, MADV_RANDOM);
  unsigned char* down = map(16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1);
  down[15 * 4096] = 3;
  void* brk_before = sbrk(123456);
  memset(brk_before, 0x5a, 123456);
  unlink(path);  // of the descriptor; the areas of it would be refused, so they go first
  munmap(cow, MIB), munmap(shared_file, MIB);
  char kept[] = "/tmp/drover-tracee-XXXXXX";
  int file = mkstemp(kept);
  CHECK(ftruncate(file, MIB) == 0 && pwrite(file, "original", 8, 0) == 8);
  CHECK(pwrite(file, "hidden", 6, 8192) == 6);
  cow = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, file);
  memcpy(cow, "modified", 8);
  memset(cow + 8192, 0, 4096);
  shared_file = map(MIB, PROT_READ | PROT_WRITE, MAP_SHARED, file);
  memcpy(shared_file + 4096, "through", 7);

  ready_and_wait();

  CHECK(memcmp(cow, "modified", 8) == 0 && memcmp(shared_file, "original", 8) == 0);
  CHECK(sum(cow + 8192, 4096) == 0 && memcmp(shared_file + 8192, "hidden", 6) == 0);
  char text[16] = {0};
  CHECK(pread(file, text, 7, 4096) == 7 && strcmp(text, "through") == 0);
  CHECK(pread(fd, text, 8, 0) == 8 && memcmp(text, "original", 8) == 0);
  memcpy(shared_file + 12288, "more", 4);
  CHECK(pread(file, text, 4, 12288) == 4 && memcmp(text, "more", 4) == 0);
  mprotect(anon, 4 * MIB, PROT_READ);
  CHECK(sum(anon, 4 * MIB) == anon_sum);
  CHECK(sparse[5 * MIB] == 9 && sparse[0] == 0);
  CHECK(resident(sparse + 7 * MIB, 3 * MIB) == 0);
  CHECK(mprotect(reserved + reserve / 2, 8192, PROT_READ) == 0);
  CHECK(reserved[reserve / 2] == 8 && reserved[reserve / 2 + 4096] == 0);
  CHECK(sum(zeros, 4 * MIB) == 0);
  CHECK(strcmp((char*)shared + MIB, "shared") == 0 && strcmp((char*)shared + 3 * MIB, "far part") == 0);
  strcpy((char*)again + MIB, "linked");
  CHECK(strcmp((char*)shared + MIB, "linked") == 0);
  CHECK(huge[0] == 7 && huge[8 * MIB - 1] == 7 && down[15 * 4096] == 3 && down[0] == 0);
  CHECK(((unsigned char*)brk_before)[123455] == 0x5a && sbrk(0) == (char*)brk_before + 123456);
  CHECK(sbrk(4096) != (void*)-1);
  unlink(kept);
  return done();
}
