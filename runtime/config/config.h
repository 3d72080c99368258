// droverd's configuration: a TOML/INI file, else defaults. Watermarks are in the same file (runtime/load/watermarks.h).
#pragma once

#include <string>
#include <vector>

#include "runtime/config/exchange_times.h"
#include "runtime/policy/groups.h"
#include "runtime/policy/owner.h"
#include "runtime/policy/policy.h"

namespace drover {

struct NodeConfig {
  ExchangeTimes times;
  Nanoseconds suspect_after = std::chrono::seconds(5);     // without a heartbeat a rank is excluded
  Nanoseconds answer_deadline = std::chrono::seconds(30);  // a move without a word: the register is asked
  PolicySettings policy{*find_policy(kDefaultPolicy), 3, 2, true, {}};
  OwnerPolicy owner;
  double jobs_per_pu = 1;
  Nanoseconds lost_after =
      std::chrono::seconds(60);                 // without a word of a node its jobs are started anew, if they may be
  int two_level_above = kDefaultTwoLevelAbove;  // nodes; rank 0's counts for all
  std::size_t keep_finished = 10'000;           // jobs that have ended and stay in memory
  std::string text, path;                       // the file, for apply_config() and config_of()
};

// Reads $DROVER_CONFIG, else $XDG_CONFIG_HOME/drover/drover.toml or ~/.config/drover/drover.toml where it exists.
// Throws std::runtime_error naming file, key, value and what is permitted.
//
//   [balance]
//   round_seconds = 1.0         # 0.05 .. 60: how often nodes share their load
//   suspect_seconds = 5.0       # 0.5 .. 3600: without a heartbeat a node is excluded
//   answer_seconds = 30.0       # 1 .. 3600: a move's source without a word asks the register
//   policy = "balanced"         # none, random, threshold, ...: docs/policies.md
//   lost_seconds = 60           # 1 .. 1e6: after that jobs with --retries leave a node that is excluded
//   probe_limit = 3             # 0 .. 64: nodes asked for one arrival, or by one FREE node
//   choices = 2                 # 1 .. 1024: the d of best-of-d
//   migrate = true              # running jobs move by themselves
//   safety = 3.0                # age rule: a job moves at safety * cost / gain
//   min_residence_seconds = 2.0 # a job that has moved stays
//   accept = "always"           # always, when-free, never: jobs of other nodes, this node's owner's rule
//   jobs_per_pu = 1.0           # 0 .. 10000: PUs that a node promises to jobs, for each of its own; 0: none start here
//   two_level_above = 256       # 2 .. 1000000: more nodes than this share in groups (docs/load.md); node 0's counts
//   foreign_load = 0.5          # 0 .. 1000: with when-free, threads per PU of others above which foreign jobs leave
//
//   [jobs]
//   keep_finished = 10000       # 1 .. 10000000: so many jobs of a node that have ended stay in its memory
//
//   [node.NAME.balance]         # for one node, before [balance]: all keys but two_level_above, round_, suspect_
//   [node.NAME.jobs]            # and answer_seconds
NodeConfig load_config();
// The file that load_config() reads; empty if there is none. Throws if $DROVER_CONFIG names none.
std::string config_path();
// Where it is looked for without $DROVER_CONFIG.
std::string default_config_path();
std::string read_config_text(const std::string& path);
// What load_config() makes of a file's text: what holds for all nodes. Tables of single nodes are checked only.
NodeConfig parse_config(const std::string& text, const std::string& path);
// With what the file says for `node` alone.
NodeConfig config_of(const NodeConfig& all, const std::string& node);

// One key as it holds, with its table: "balance.safety", "3".
struct ConfigValue {
  std::string key, value;
};
// Every key of [balance] and [jobs].
std::vector<ConfigValue> list_values(const NodeConfig& config);
// Those that the file has, whether somebody reads them or not: "balance.safety", "node.ws7.balance.accept".
std::vector<std::string> keys_of_file(const NodeConfig& config);

}  // namespace drover
