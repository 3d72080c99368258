// Where an instance keeps its sockets (on each host, in memory) and its state (shared by all its nodes).
//
//   RUNTIME/INSTANCE/NODE/control        droverd's control socket
//   RUNTIME/INSTANCE/NODE/job-ID.EPOCH   one shepherd's socket
//   RUNTIME/INSTANCE/up.pid, up.log      the supervisor of `drover up`
//   STATE/INSTANCE/jobs/ID/...           decision register, streams of submitted jobs
//   STATE/INSTANCE/events/NODE.jsonl     event logs
//   STATE/INSTANCE/archive/...           jobs that ended long ago (runtime/jobs/job_archive.h)
//   STATE/INSTANCE/drain/NODE            there while that node drains
//
// RUNTIME is $DROVER_RUNTIME_DIR, else $XDG_RUNTIME_DIR/drover where that exists and is ours, else /tmp/drover-UID.
// Never $TMPDIR, which batch jobs change: a launcher in a job must find the droverd outside it.
// STATE is $DROVER_STATE_DIR, else $XDG_STATE_HOME/drover, else $HOME/.local/state/drover. INSTANCE is
// $DROVER_INSTANCE, else "default".
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace drover {

struct InstancePaths {
  std::string runtime;  // RUNTIME/INSTANCE
  std::string state;    // STATE/INSTANCE

  std::string node_dir(const std::string& node) const { return runtime + "/" + node; }
  std::string control_socket(const std::string& node) const { return node_dir(node) + "/control"; }
  std::string job_dir(long id) const { return state + "/jobs/" + std::to_string(id); }
  std::string drain_file(const std::string& node) const { return state + "/drain/" + node; }
  std::string events_dir() const { return state + "/events"; }
  std::string archive_dir() const { return state + "/archive"; }
};

// From the environment. Throws std::runtime_error naming the variable to set when there is no usable place.
InstancePaths instance_paths();

// /tmp/drover-UID.
std::string default_runtime_base();

// Makes `path` and its parents with mode 0700. Throws SystemError; and std::runtime_error if the last one, or `base` if
// it is above, exists but belongs to another user or is open to others (somebody else's directory in /tmp must not be
// trusted).
void make_private_directory(const std::string& path, const std::string& base = default_runtime_base());

// Removes the folder of a node whose droverd has left, and those above it that are empty then and Drover's own. A
// shepherd that lives in it keeps it: waits up to `longest` for that to end (those of ended jobs are on their way out),
// and returns false if it does not. Errors are ignored: what can't be removed stays.
bool remove_node_dir(const InstancePaths& paths, const std::string& node, std::chrono::milliseconds longest);

// Removes the instance's folders of this host that are empty and Drover's own, as a droverd that could not start leaves
// them.
void remove_empty_dirs(const InstancePaths& paths);

// The nodes of this instance with a control socket on this host, sorted by name ("node2" before "node10").
std::vector<std::string> local_nodes(const InstancePaths&);

}  // namespace drover
