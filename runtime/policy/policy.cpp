#include "runtime/policy/policy.h"

#include <array>

namespace drover {

static constexpr std::array kPolicies{
    Policy{"none", Placing::Here, Pulling::No, false, false, "every job stays where it was submitted"},
    Policy{"random", Placing::Random, Pulling::No, false, false, "a job starts on any node, whatever its load"},
    Policy{"threshold", Placing::Threshold, Pulling::No, false, false,
           "a BUSY node asks a few at random for an arriving job; the first FREE one takes it"},
    Policy{"shortest", Placing::Shortest, Pulling::No, false, false,
           "a BUSY node asks a few at random for an arriving job; the least loaded of them takes it"},
    Policy{"receiver", Placing::Here, Pulling::Random, false, false,
           "a FREE node asks a few at random for a job they have"},
    Policy{"symmetric", Placing::Threshold, Pulling::Random, false, false, "threshold and receiver"},
    Policy{"best-of-d", Placing::BestOf, Pulling::No, false, false,
           "a job starts on the least loaded of d random nodes of the shared table"},
    Policy{"pairing", Placing::Here, Pulling::No, true, false,
           "all compute the same pairs of senders and receivers from the shared table"},
    Policy{"balanced", Placing::Confirmed, Pulling::Worst, true, true,
           "best nodes of the table, confirmed when a job arrives; FREE nodes pull; pairs from the table"},
};

std::span<const Policy> all_policies() { return kPolicies; }

std::optional<Policy> find_policy(std::string_view name) {
  for (const Policy& policy : kPolicies)
    if (policy.name == name) return policy;
  return std::nullopt;
}

}  // namespace drover
