// The namespaces a job lives in: PID, mount, IPC, and for an ordinary user a user namespace around them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace drover::shepherd {

// Forks. In the child (PID 1 of the new namespaces, everything set up) it returns 0; in the parent the child's PID, or
// -errno.
pid_t fork_into_namespaces();
// Without namespaces: a plain fork whose child reaps its orphans (subreaper).
pid_t fork_plain();

// Forks inside a job's PID namespace for something that is not the job's. It gets one of the highest PIDs: a low one
// may be that of a process which is to be restored here. Returns as fork(2). Throws SystemError.
pid_t fork_aside(bool namespaces);

// Whether this host gives an ordinary caller what a job needs, found by doing it: a mount of proc and a child with a
// chosen PID, since hosts that forbid these often allow the unshare itself. Empty: yes; else why not.
std::optional<std::string> probe_namespaces();

}  // namespace drover::shepherd
