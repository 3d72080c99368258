// Things that are gone and still in use: the program's own file, replaced by another; the working directory; a directory
// that is open. The first process copies itself, since a test program must stay.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static int ends_with(const char *text, const char *end) {
  return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static void copy_self(const char *path) {
  struct stat info;
  int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
  CHECK(fstat(from, &info) == 0 && sendfile(to, from, NULL, (size_t)info.st_size) == info.st_size);
  close(from);
  close(to);
}

static int check(const char *folder) {
  char path[256], link[512] = {0};
  CHECK(chdir(folder) == 0 && mkdir("work", 0750) == 0 && mkdir("open", 0700) == 0);
  int open_directory = open("open", O_RDONLY | O_DIRECTORY);
  snprintf(path, sizeof path, "%s/open", folder);
  CHECK(rmdir(path) == 0 && chdir("work") == 0);
  snprintf(path, sizeof path, "%s/work", folder);
  CHECK(rmdir(path) == 0);
  // An update puts another file in the place of the program.
  snprintf(path, sizeof path, "%s/program", folder);
  CHECK(unlink(path) == 0);
  int other = open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
  CHECK(write(other, "another", 7) == 7 && close(other) == 0);
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(9);
  }

  ready_and_wait();

  struct stat info;
  CHECK(getcwd(link, sizeof link) == NULL && errno == ENOENT);
  CHECK(stat(".", &info) == 0 && S_ISDIR(info.st_mode) && (info.st_mode & 07777) == 0750 && info.st_uid == getuid());
  CHECK(mkdir("sub", 0700) < 0 && errno == ENOENT);
  CHECK(readlink("/proc/self/cwd", link, sizeof link - 1) > 0 && ends_with(link, "/work (deleted)"));
  CHECK(fstat(open_directory, &info) == 0 && S_ISDIR(info.st_mode) && (info.st_mode & 07777) == 0700);
  CHECK(openat(open_directory, "file", O_CREAT | O_WRONLY, 0600) < 0 && errno == ENOENT);
  memset(link, 0, sizeof link);
  CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0 && ends_with(link, " (deleted)"));
  int own = open("/proc/self/exe", O_RDONLY);
  char magic[4] = {0};
  CHECK(own >= 0 && read(own, magic, 4) == 4 && memcmp(magic, "\177ELF", 4) == 0 && fstat(own, &info) == 0);
  CHECK((info.st_mode & 07777) == 0755 && info.st_nlink == 0);
  CHECK(open("/proc/self/exe", O_WRONLY) < 0 && errno == ETXTBSY);
  // It can still be run.
  pid_t again = fork();
  if (again == 0) {
    execl("/proc/self/exe", "program", "exit", (char *)NULL);
    _exit(1);
  }
  int status = 0;
  CHECK(waitpid(again, &status, 0) == again && WIFEXITED(status) && WEXITSTATUS(status) == 33);
  snprintf(link, sizeof link, "/proc/%d/cwd", child);
  CHECK(stat(link, &info) == 0 && (info.st_mode & 07777) == 0750);
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
  CHECK(unlink(path) == 0 && rmdir(folder) == 0);
  return done();
}

// A program that runs from a sealed memfd, as runc(8) does.
static int start_sealed(void) {
  int fd = memfd_create("program", MFD_ALLOW_SEALING), self = open("/proc/self/exe", O_RDONLY);
  struct stat info;
  CHECK(fstat(self, &info) == 0 && sendfile(fd, self, NULL, (size_t)info.st_size) == info.st_size);
  CHECK(fchmod(fd, 0755) == 0 && fcntl(fd, F_ADD_SEALS, kSeals) == 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  execl(path, "program", "sealed", (char *)NULL);
  return 1;
}

static int check_sealed(void) {
  ready_and_wait();
  char link[64] = {0};
  int own = open("/proc/self/exe", O_RDONLY);
  CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0 && strcmp(link, "/memfd:program (deleted)") == 0);
  CHECK(own >= 0 && fcntl(own, F_GET_SEALS) == kSeals);
  return done();
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "memfd") == 0) return start_sealed();
  if (argc == 2 && strcmp(argv[1], "sealed") == 0) return check_sealed();
  if (argc == 3) return check(argv[2]);
  if (argc == 2 && strcmp(argv[1], "exit") == 0) return 33;
  char folder[] = "/tmp/drover-tracee-XXXXXX", path[64];
  CHECK(mkdtemp(folder) != NULL);
  snprintf(path, sizeof path, "%s/program", folder);
  copy_self(path);
  execl(path, path, "check", folder, (char *)NULL);
  return 1;
}
