// The command line of move.cpp.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace drover {

struct Settings {
  int moves = 1;
  int every_ms = 0;
  int kills = 0;
  int signal = 0;
  bool as_nobody = false, until_exit = false, no_proc = false, compress = false, at_rest = false, leave_running = false,
       timing = false, one_worker = false, other_vdso = false, other_shm = false;
  std::string directory = "/tmp";
  std::vector<char*> command;
};

[[noreturn]] inline void fail(const std::string& why) {
  fmt::print(stderr, "move: {}\n", why);
  std::fflush(nullptr);
  ::_exit(99);
}

inline Settings parse_settings(int argc, char** argv) {
  Settings settings;
  int i = 1;
  for (; i < argc && std::string(argv[i]) != "--"; ++i) {
    const std::string option = argv[i];
    if (option == "--moves")
      settings.moves = std::atoi(argv[++i]);
    else if (option == "--kill")
      settings.kills = std::atoi(argv[++i]);
    else if (option == "--signal")
      settings.signal = std::atoi(argv[++i]);
    else if (option == "--every")
      settings.every_ms = std::atoi(argv[++i]);
    else if (option == "--as-nobody")
      settings.as_nobody = true;
    else if (option == "--until-exit")
      settings.until_exit = true;
    else if (option == "--no-proc")
      settings.no_proc = true;
    else if (option == "--compress")
      settings.compress = true;
    else if (option == "--at-rest")
      settings.at_rest = true;
    else if (option == "--leave-running")
      settings.leave_running = true;
    else if (option == "--one-worker")
      settings.one_worker = true;
    else if (option == "--other-vdso")
      settings.other_vdso = true;
    else if (option == "--timing")
      settings.timing = true;
    else if (option == "--other-shm")
      settings.other_shm = true;
    else if (option == "--directory")
      settings.directory = argv[++i];
    else
      fail("unknown option " + option);
  }
  for (++i; i < argc; ++i) settings.command.push_back(argv[i]);
  if (settings.command.empty()) fail("no program given");
  settings.command.push_back(nullptr);
  return settings;
}

}  // namespace drover
