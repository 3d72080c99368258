// drover-shepherd: the spawner, and by its forks every shepherd's init and workers. Started by droverd only.
#include <charconv>
#include <cstdio>
#include <cstring>

#include "runtime/shepherd/spawner.h"

int main(int argc, char** argv) {
  int fd = -1;
  if (argc == 3 && std::strcmp(argv[1], "--spawner") == 0) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), fd);
  if (fd < 3) {
    std::fputs("drover-shepherd: started by droverd, not by hand; see drover up --help\n", stderr);
    return 2;
  }
  return drover::shepherd::run_spawner(drover::UniqueFd(fd));
}
