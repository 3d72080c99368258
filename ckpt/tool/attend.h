// Waiting for the end of a restored tree, and lending it one's own terminal meanwhile.
#pragma once

#include <sys/types.h>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// Blocks the signals that attend() takes. Before it, and before the first fork(): nothing is missed, and PID 1 of a
// namespace, which ignores what it has no handler for, gets them too (signal(7): blocked ones are never ignored).
void block_signals();

// Until `root`, a child, has ended; its exit code, 128 + the signal that killed it. SIGINT and SIGTERM are passed on to
// it. `terminal`: the master of the tree's terminal, non-blocking: what is typed here goes there, and what it shows is
// shown here, until SIGHUP hangs it up; empty: it has none, and SIGHUP is passed on like the others.
int attend(pid_t root, UniqueFd terminal);

// A process id and perhaps a descriptor, from one process to another.
bool send_terminal(int socket, pid_t root, int terminal);
UniqueFd receive_terminal(int socket, pid_t& root);

}  // namespace drover
