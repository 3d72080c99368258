// What runs first in the terminal of a job that an interactive shell started, as `drover __lead MARK PROGRAM ...`: the
// leader of the terminal's session.
//
// A program that led it itself could not be stopped: its process group would be orphaned, and the kernel ignores Ctrl-Z
// for those (POSIX.1-2017, XBD 3.264). So the program is a child of this one, in a group of its own, as it would be a
// child of a shell. When it stops, MARK is written to the terminal, where the launcher finds it and stops itself: so
// the shell that waits for the launcher learns of it. The job may have moved meanwhile; the terminal goes with it.
#pragma once

#include <string>

namespace drover::shell {

inline constexpr const char* kLeaderWord = "__lead";

// A control sequence that terminals pass over. `secret`: what no program knows.
std::string stop_mark(const std::string& secret);

// `words`: SECRET PROGRAM ARGUMENT..., and a null pointer. Gives the exit code, or ends by the program's signal.
int lead(char** words);

}  // namespace drover::shell
