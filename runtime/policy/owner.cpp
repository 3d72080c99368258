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
    case Accept::WhenFree:
      if (foreign_run_queue > policy.foreign_load)
        return (before & kNoForeignJobs) != 0 ? kOut : std::uint8_t{kNoForeignJobs};
      if (foreign_run_queue > policy.foreign_load / 2) return static_cast<std::uint8_t>(before & kOut);
      return 0;
  }
  return 0;
}

}  // namespace drover
