#include "runtime/policy/owner.h"

#include "runtime/load/sample.h"

namespace drover {

std::optional<Accept> find_accept(std::string_view name) {
  if (name == "always") return Accept::Always;
  if (name == "when-free") return Accept::WhenFree;
  if (name == "never") return Accept::Never;
  return std::nullopt;
}

std::uint8_t owner_flags(const OwnerPolicy& policy, double foreign_run_queue, std::uint8_t before) {
  constexpr std::uint8_t kOut = kNoForeignJobs | kForeignJobsLeave;
  switch (policy.accept) {
    case Accept::Always:
      return 0;
    case Accept::Never:
      return kOut;
    case Accept::WhenFree: {
      const bool was_out = (before & kOut) != 0;
      return foreign_run_queue > (was_out ? policy.foreign_load / 2 : policy.foreign_load) ? kOut : std::uint8_t{0};
    }
  }
  return 0;
}

}  // namespace drover
