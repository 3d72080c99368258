#include "runtime/jobs/job_archive.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"
#include "runtime/jobs/event_log.h"

namespace drover {

using nlohmann::json;

namespace {

constexpr std::int64_t kJobsOfBlock = 1000;
// Between the clocks of the nodes and of the server that stamps their files.
constexpr std::int64_t kClockDifferenceNs = 3600 * 1'000'000'000LL;

std::string block_dir(const std::string& archive_dir, std::int64_t block) {
  return fmt::format("{}/{}", archive_dir, block);
}

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw SystemError("mkdir", path, errno);
}

std::vector<std::string> files_of(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) files.push_back(entry.path());
  return files;
}

// When something was appended last; a job ends before it is archived.
bool appended_since(const std::string& directory, std::int64_t since_ns) {
  const auto files = files_of(directory);
  return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) return false;
    const std::int64_t changed_ns = status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec;
    return changed_ns + kClockDifferenceNs >= since_ns;
  });
}

}  // namespace

void archive_jobs(const std::string& archive_dir, const std::string& node,
                  const std::vector<std::pair<std::int64_t, std::string>>& jobs) {
  std::map<std::int64_t, std::string> lines;  // by block
  for (const auto& [id, text] : jobs) lines[id / kJobsOfBlock] += text + '\n';
  make_directory(archive_dir);
  for (const auto& [block, text] : lines) {
    make_directory(block_dir(archive_dir, block));
    EventLog(fmt::format("{}/{}.jsonl", block_dir(archive_dir, block), node)).append(text);
  }
}

std::optional<json> find_archived(const std::string& archive_dir, std::int64_t id) {
  const auto found = search_block(archive_dir, id / kJobsOfBlock, {.first = id, .last = id});
  return found.empty() ? std::nullopt : std::optional(json::parse(found.front()));
}

std::vector<std::int64_t> blocks_to_search(const std::string& archive_dir, const ArchiveSearch& search) {
  std::vector<std::int64_t> blocks;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(archive_dir, ignored)) {
    const auto block = to_signed(entry.path().filename().string());
    if (!block || *block < search.first / kJobsOfBlock || *block > search.last / kJobsOfBlock) continue;
    if (search.since_ns == 0 || appended_since(entry.path(), search.since_ns)) blocks.push_back(*block);
  }
  std::sort(blocks.rbegin(), blocks.rend());
  return blocks;
}

std::vector<std::string> search_block(const std::string& archive_dir, std::int64_t block, const ArchiveSearch& search) {
  std::map<std::int64_t, std::string> found;
  const std::string one = search.first == search.last ? fmt::format("\"job\":{},", search.first) : "";
  for (const std::string& file : files_of(block_dir(archive_dir, block))) {
    for_each_event_line(file, [&](std::string&& line) {
      if (!one.empty() && line.find(one) == std::string::npos) return;
      const json job = json::parse(line, nullptr, false);
      if (!job.is_object()) return;
      const auto id = job.value("job", std::int64_t{0});
      if (id < search.first || id > search.last || job.value("ended_ns", std::int64_t{0}) < search.since_ns) return;
      found[id] = std::move(line);
    });
  }
  std::vector<std::string> jobs;
  jobs.reserve(found.size());
  for (auto& [id, line] : found) jobs.push_back(std::move(line));
  return jobs;
}

}  // namespace drover
