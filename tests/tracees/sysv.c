// System V IPC: segments attached in several ways, removed ones, one that nobody has attached, locked, sparse; semaphores
// with values, last processes, adjustments by SEM_UNDO and a process that waits; message queues.
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kPage = 4096, kPages = 1024 };
struct message {
  long type;
  char text[64];
};

static int has_page(char *at) {
  unsigned char there = 0;
  CHECK(mincore(at, kPage, &there) == 0);
  return there & 1;
}

static void change(int set, int number, int by, int flags) {
  struct sembuf operation = {(unsigned short)number, (short)by, (short)flags};
  CHECK(semop(set, &operation, 1) == 0);
}

static void put(int queue, long type, const char *text) {
  struct message message = {type, {0}};
  strcpy(message.text, text);
  CHECK(msgsnd(queue, &message, strlen(text) + 1, IPC_NOWAIT) == 0);
}

static void expect(int queue, long wanted, long type, const char *text) {
  struct message message;
  CHECK(msgrcv(queue, &message, sizeof message.text, wanted, IPC_NOWAIT) == (ssize_t)strlen(text) + 1);
  CHECK(message.type == type && strcmp(message.text, text) == 0);
}

int main(void) {
  // Ids that an empty namespace would not give.
  int skipped[3], first = shmget(IPC_PRIVATE, 1, 0600);
  for (int i = 0; i < 3; ++i) skipped[i] = shmget(IPC_PRIVATE, kPage, 0600);
  for (int i = 0; i < 3; ++i) CHECK(shmctl(skipped[i], IPC_RMID, NULL) == 0);
  CHECK(shmctl(first, IPC_RMID, NULL) == 0);

  int id = shmget(0x162e, kPages * kPage - 100, IPC_CREAT | 0640);
  char *all = shmat(id, NULL, 0), *reader = shmat(id, NULL, SHM_RDONLY);
  CHECK(all != MAP_FAILED && reader != MAP_FAILED);
  for (int i = 0; i < kPages; i += 100) sprintf(all + i * kPage, "page %d", i);
  all[kPages * kPage - 101] = 'e';
  char *protected = shmat(id, NULL, 0);
  CHECK(mprotect(protected + kPage, kPage, PROT_READ) == 0 && munmap(protected + 8 * kPage, (kPages - 8) * kPage) == 0);
  int removed = shmget(0x77, 3 * kPage, IPC_CREAT | 0600);
  char *of_removed = shmat(removed, NULL, 0);
  strcpy(of_removed + kPage, "removed, and still here");
  CHECK(shmctl(removed, IPC_RMID, NULL) == 0);
  int follower = shmget(0x77, kPage, IPC_CREAT | IPC_EXCL | 0600);  // has the key now
  char *once = shmat(follower, NULL, 0);
  strcpy(once, "nobody has attached it");
  CHECK(shmdt(once) == 0);
  int locked = shmget(IPC_PRIVATE, kPage, 0600);
  CHECK(shmctl(locked, SHM_LOCK, NULL) == 0);

  int fresh = semget(0x5e, 2, IPC_CREAT | 0606), set = semget(IPC_PRIVATE, 6, 0600);
  CHECK(semctl(fresh, 1, SETVAL, 7) == 0);
  int undone = semget(IPC_PRIVATE, 4, 0600);
  change(undone, 1, 9, 0);
  change(undone, 3, 32767, 0);
  change(set, 0, 5, SEM_UNDO);
  change(set, 0, -2, SEM_UNDO);  // our end takes 3
  change(set, 1, 9, 0);
  change(set, 1, -4, SEM_UNDO);  // our end gives 4
  change(set, 2, 1, SEM_UNDO);
  change(set, 2, -1, SEM_UNDO);
  int queue = msgget(0x6d, IPC_CREAT | 0600), empty = msgget(IPC_PRIVATE, 0600);
  put(queue, 3, "first");
  put(queue, 1, "second");
  put(queue, 3, "");
  struct msqid_ds of_queue;
  CHECK(msgctl(queue, IPC_STAT, &of_queue) == 0);
  of_queue.msg_qbytes = 1000;
  CHECK(msgctl(queue, IPC_SET, &of_queue) == 0);

  pid_t child = fork();
  if (child == 0) {
    change(set, 3, 3, SEM_UNDO);
    change(set, 4, -1, 0);  // waits
    int fine = strcmp(all + 100 * kPage, "page 100") == 0 && strcmp(of_removed + kPage, "removed, and still here") == 0;
    strcpy(all + kPage, "from the child");
    change(set, 3, 1, 0);
    _exit(fine && failures == 0 ? 0 : 1);
  }
  // Ends after the moves, which takes back what it has done.
  pid_t undoer = fork();
  if (undoer == 0) {
    change(undone, 0, 5, SEM_UNDO);
    change(undone, 0, -2, SEM_UNDO);
    change(undone, 1, -4, SEM_UNDO);
    change(undone, 2, 30000, SEM_UNDO);
    change(undone, 3, -30000, SEM_UNDO);
    change(set, 5, -1, 0);  // waits
    _exit(0);
  }
  while (semctl(set, 4, GETNCNT) != 1 || semctl(set, 5, GETNCNT) != 1) usleep(1000);
  struct shmid_ds before;
  CHECK(shmctl(id, IPC_STAT, &before) == 0);

  ready_and_wait();

  struct shmid_ds info;
  CHECK(shmctl(id, IPC_STAT, &info) == 0 && shmget(0x162e, 1, 0) == id);
  CHECK(info.shm_segsz == kPages * kPage - 100 && (info.shm_perm.mode & 0777) == 0640 && info.shm_perm.uid == geteuid());
  CHECK(info.shm_nattch == before.shm_nattch && info.shm_perm.cuid == geteuid());
  CHECK(!has_page(all + 50 * kPage) && has_page(all + 100 * kPage));
  for (int i = 0; i < kPages; i += 100) {
    char text[32];
    sprintf(text, "page %d", i);
    CHECK(strcmp(reader + i * kPage, text) == 0);
  }
  CHECK(reader[kPages * kPage - 101] == 'e');
  CHECK(mprotect(reader, kPage, PROT_READ | PROT_WRITE) < 0 && errno == EACCES);
  strcpy(protected + 2 * kPage, "seen through all");
  CHECK(strcmp(all + 2 * kPage, "seen through all") == 0);
  CHECK(mprotect(protected + kPage, kPage, PROT_READ | PROT_WRITE) == 0);
  CHECK(strcmp(of_removed + kPage, "removed, and still here") == 0);
  CHECK(shmctl(removed, IPC_STAT, &info) == 0 && (info.shm_perm.mode & SHM_DEST));
  CHECK(shmget(0x77, 1, 0) == follower);
  once = shmat(follower, NULL, 0);
  CHECK(once != MAP_FAILED && strcmp(once, "nobody has attached it") == 0 && shmdt(once) == 0);
  CHECK(shmctl(locked, IPC_STAT, &info) == 0 && (info.shm_perm.mode & SHM_LOCKED));

  struct semid_ds of_set;
  CHECK(semget(0x5e, 2, 0) == fresh && semctl(fresh, 0, IPC_STAT, &of_set) == 0 && of_set.sem_otime == 0);
  CHECK((of_set.sem_perm.mode & 0777) == 0606 && semctl(fresh, 0, GETVAL) == 0 && semctl(fresh, 1, GETVAL) == 7);
  CHECK(semctl(fresh, 1, GETPID) == getpid() && semctl(fresh, 0, GETPID) == 0);
  CHECK(semctl(set, 0, IPC_STAT, &of_set) == 0 && of_set.sem_otime != 0 && of_set.sem_nsems == 6);
  const int values[] = {3, 5, 0, 3, 0, 0}, before_undo[] = {3, 5, 30000, 2767}, after_undo[] = {0, 9, 0, 32767};
  for (int i = 0; i < 6; ++i) CHECK(semctl(set, i, GETVAL) == values[i]);
  CHECK(semctl(set, 0, GETPID) == getpid() && semctl(set, 3, GETPID) == child && semctl(set, 4, GETNCNT) == 1);
  change(set, 4, 1, 0);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(strcmp(reader + kPage, "from the child") == 0);
  CHECK(semctl(set, 3, GETVAL) == 1 && semctl(set, 4, GETVAL) == 0);

  for (int i = 0; i < 4; ++i) CHECK(semctl(undone, i, GETVAL) == before_undo[i]);
  change(set, 5, 1, 0);
  CHECK(waitpid(undoer, &status, 0) == undoer && status == 0);
  for (int i = 0; i < 4; ++i) CHECK(semctl(undone, i, GETVAL) == after_undo[i]);

  expect(queue, 1, 1, "second");
  expect(queue, 0, 3, "first");
  expect(queue, 0, 3, "");
  CHECK(msgget(0x6d, 0) == queue && msgctl(queue, IPC_STAT, &of_queue) == 0 && of_queue.msg_qbytes == 1000);
  CHECK(msgctl(empty, IPC_STAT, &of_queue) == 0 && of_queue.msg_qnum == 0);

  CHECK(shmdt(all) == 0 && shmdt(reader) == 0 && shmdt(of_removed) == 0);
  CHECK(shmctl(removed, IPC_STAT, &info) < 0);
  return done();
}
