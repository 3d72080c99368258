// The jobs that ended longest ago, which their origin does not keep in memory: one JSON object each, a JOB of
// PROTOCOL.md as it was last, in STATE/INSTANCE/archive/BLOCK/NODE.jsonl. BLOCK is the id divided by 1000, so a job is
// found by its id without an index, whoever asks; a node appends to its own files only.
//
// A job may be there twice, after a crash between that and the event that says so; both are the same.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace drover {

// Appends `jobs`, their ids and texts (a line each, without its newline). Blocking; throws SystemError.
void archive_jobs(const std::string& archive_dir, const std::string& node,
                  const std::vector<std::pair<std::int64_t, std::string>>& jobs);

// Empty if it is not there. Blocking.
std::optional<nlohmann::json> find_archived(const std::string& archive_dir, std::int64_t id);

// Of a search through the archive, block by block.
struct ArchiveSearch {
  std::int64_t first = 0, last = INT64_MAX;  // ids
  std::int64_t since_ns = 0;                 // CLOCK_REALTIME: those that ended then or later
};
// The blocks that may have some, the newest first. Blocking.
std::vector<std::int64_t> blocks_to_search(const std::string& archive_dir, const ArchiveSearch& search);
// Those of one block, each once. Blocking.
std::vector<std::string> search_block(const std::string& archive_dir, std::int64_t block, const ArchiveSearch& search);

}  // namespace drover
