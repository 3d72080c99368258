// The decision register: who owns a job from one epoch on. `jobs/ID/owner.EPOCH` on the shared state directory is made
// once, by link(2) of a private file that is already on disk, and never changed. Whoever's link it is has won; everyone
// else reads who did. Blocking (the directory may be on NFS): called by processes that may wait, never by droverd's
// loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace drover {

struct Owner {
  std::string node;  // who may run the job from this epoch on
  std::string by;    // who wrote it, for people: "destination node2", "source node0", "init of node2"
};

// Tries to make `owner` the owner of `epoch`. Returns the owner that the register holds afterwards: equal to
// `owner.node` if this call (or an equal one before it) won. Throws SystemError if the register can't be reached:
// nothing is known then.
Owner claim_ownership(const std::string& job_dir, std::int64_t epoch, const Owner& owner);

std::optional<Owner> read_owner(const std::string& job_dir, std::int64_t epoch);

// `jobs/ID/running.EPOCH`: the owner of `epoch` has resumed the job. Only looked for by a source that can't hear the
// destination.
void mark_running(const std::string& job_dir, std::int64_t epoch);
bool is_marked_running(const std::string& job_dir, std::int64_t epoch);

}  // namespace drover
