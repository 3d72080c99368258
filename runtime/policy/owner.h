// When a node takes jobs of other nodes, and when those that it has must go: its owner's rule. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace drover {

enum class Accept : std::uint8_t {
  Always,
  WhenFree,  // of load that is not ours: else foreign jobs leave, for a free node or home
  Never,
};
std::optional<Accept> find_accept(std::string_view name);  // "always", "when-free", "never"

struct OwnerPolicy {
  Accept accept = Accept::Always;
  double foreign_load = 0.5;  // runnable threads per PU that are not ours; above it the owner is back
};

// LoadFlag bits for the next sample, from those of the last one. Above `foreign_load` no job comes any more; if the
// load is there in the next sample too, foreign jobs leave. Both last until the load has fallen to half of that, so
// that jobs don't come and go with every breath.
std::uint8_t owner_flags(const OwnerPolicy& policy, double foreign_run_queue, std::uint8_t before);

}  // namespace drover
