// Decisions as events: everything that a decision was made from, so that it can be made again (`drover replay`), and
// what came out. One JSON object each, with "event": "decided".
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "runtime/policy/migrant.h"
#include "runtime/policy/place.h"
#include "runtime/policy/policy.h"

namespace drover {

// Where an arriving job is to start: "decision": "place".
nlohmann::json record_place(const PolicySettings& settings, std::int64_t job, int self, const NodeView& own,
                            std::span<const NodeView> table, std::uint64_t seed, const Need& need,
                            const Placement& placement);
// Which running job goes to `to`: "decision": "give".
nlohmann::json record_give(const MigrationRule& rule, std::span<const Candidate> candidates, const NodeView& own,
                           int to, const NodeView& destination, std::span<const NodeView> table, const Choice& choice);

// Makes the decision of an event again. Empty if the same comes out, else what does. Throws std::invalid_argument if
// the event is no decision or lacks something.
std::optional<std::string> replay_decision(const nlohmann::json& event);

}  // namespace drover
