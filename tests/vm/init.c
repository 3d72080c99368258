// The first program in the virtual machine, alone in its initramfs: loads the modules that lie there in the order of
// their names, changes to the root file system on the disk, and runs /guest.sh there. The machine stops when that ends.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void stop(void) {
  sync();
  reboot(RB_AUTOBOOT);  // qemu runs with -no-reboot
  _exit(1);
}

static void must(int result, const char* what) {
  if (result >= 0) return;
  perror(what);
  stop();
}

static void load_modules(void) {
  struct dirent** names;
  must(chdir("/modules"), "/modules");
  const int count = scandir(".", &names, NULL, alphasort);
  for (int i = 0; i < count; ++i) {
    if (names[i]->d_name[0] == '.') continue;
    const int fd = open(names[i]->d_name, O_RDONLY | O_CLOEXEC);
    must((int)syscall(SYS_finit_module, fd, "", 0), names[i]->d_name);
    close(fd);
  }
}

int main(void) {
  load_modules();
  must(mount("dev", "/dev", "devtmpfs", 0, NULL), "/dev");
  for (int attempt = 0; access("/dev/vda", F_OK) != 0 && attempt < 1000; ++attempt) usleep(10000);
  must(mount("/dev/vda", "/disk", "ext4", 0, NULL), "/dev/vda");
  must(chdir("/disk"), "/disk");
  must(mount("/dev", "dev", NULL, MS_MOVE, NULL), "move /dev");
  must(mount(".", "/", NULL, MS_MOVE, NULL), "move the root");
  must(chroot("."), "chroot");
  must(chdir("/"), "chdir");
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    execl("/bin/sh", "sh", "/guest.sh", (char*)NULL);
    _exit(127);
  }
  for (int status; wait(&status) != child;) continue;
  stop();
}
