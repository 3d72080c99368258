#include "runtime/jobs/event_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <queue>
#include <utility>

#include "ckpt/sys/unique_fd.h"

namespace drover {

using nlohmann::json;

namespace {

constexpr std::size_t kPart = 65536;  // of a log
constexpr std::size_t kMostGiven = std::size_t{1} << 20;
// A clock that was put back leaves a log out of order by so much at most, and a node's own clock may be ahead.
constexpr std::int64_t kMostBackNs = 3600 * 1'000'000'000LL;

// Whole lines from `at` on, with their newlines: a part, or one line if that is longer. Empty if there is none.
std::string read_lines(int fd, std::uint64_t at) {
  std::string text;
  for (;;) {
    const std::size_t had = text.size();
    text.resize(had + kPart);
    const ssize_t n = ::pread(fd, text.data() + had, kPart, static_cast<off_t>(at + had));
    text.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    const auto last = text.rfind('\n');
    if (last != std::string::npos) {
      text.resize(last + 1);
      return text;
    }
    if (n <= 0) return "";
  }
}

// Where a line begins before which all are older, as far as the log is in order.
std::uint64_t find_from(int fd, std::int64_t from_ns) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return 0;
  std::uint64_t low = 0, high = static_cast<std::uint64_t>(status.st_size);
  while (high - low > kPart) {
    const std::uint64_t middle = low + (high - low) / 2;
    const std::string text = read_lines(fd, middle);  // the end of a line, and lines
    const auto begin = text.find('\n') + 1;
    const auto end = text.find('\n', begin);
    if (text.empty() || end == std::string::npos || middle + begin >= high) {
      high = middle;
      continue;
    }
    const json event = json::parse(text.substr(begin, end - begin), nullptr, false);
    if (event.is_object() && event.value("time_ns", std::int64_t{0}) < from_ns)
      low = middle + begin;
    else
      high = middle;
  }
  return low;
}

}  // namespace

EventReader::EventReader(std::string events_dir, Span span, std::map<std::string, double> ahead_ms)
    : events_dir_(std::move(events_dir)), span_(span), ahead_ms_(std::move(ahead_ms)) {}

EventReader::Event EventReader::parse(std::string line, std::int64_t not_before_ns) const {
  json event = json::parse(line, nullptr, false);
  if (!event.is_object()) return {not_before_ns, INT64_MIN, ""};
  auto time_ns = event.value("time_ns", std::int64_t{0});
  if (const auto ahead = ahead_ms_.find(event.value("node", "")); ahead != ahead_ms_.end()) {
    time_ns -= static_cast<std::int64_t>(ahead->second * 1e6);
    event["clock_ahead_ms"] = ahead->second;
    line = event.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return {std::max(not_before_ns, time_ns), time_ns, std::move(line)};
}

void EventReader::refill(const std::string& path, Log& log) const {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  if (!std::exchange(log.known, true) && span_.from_ns > kMostBackNs)
    log.taken = find_from(fd.get(), span_.from_ns - kMostBackNs);
  const std::int64_t last_ns = std::min(span_.until_ns, INT64_MAX - kMostBackNs) + kMostBackNs;
  while (log.read.empty() && log.order_ns < last_ns) {
    const std::string text = read_lines(fd.get(), log.taken);
    if (text.empty()) return;
    log.taken += text.size();
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      Event event = parse(text.substr(begin, end - begin), log.order_ns);
      log.order_ns = event.order_ns;
      if (event.time_ns >= span_.from_ns && event.time_ns <= span_.until_ns) log.read.push_back(std::move(event));
    }
  }
}

std::vector<std::string> EventReader::next() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(events_dir_, ignored)) logs_[entry.path()];
  using Next = std::pair<std::int64_t, std::map<std::string, Log>::iterator>;
  const auto later = [](const Next& a, const Next& b) {
    return a.first != b.first ? a.first > b.first : a.second->first > b.second->first;
  };
  std::priority_queue<Next, std::vector<Next>, decltype(later)> first(later);
  const auto offer = [&](std::map<std::string, Log>::iterator log) {
    if (log->second.read.empty()) refill(log->first, log->second);
    if (!log->second.read.empty()) first.emplace(log->second.read.front().order_ns, log);
  };
  for (auto log = logs_.begin(); log != logs_.end(); ++log) offer(log);
  std::vector<std::string> lines;
  for (std::size_t bytes = 0; !first.empty() && bytes < kMostGiven;) {
    const auto log = first.top().second;
    first.pop();
    lines.push_back(std::move(log->second.read.front().line));
    log->second.read.pop_front();
    bytes += lines.back().size();
    offer(log);
  }
  return lines;
}

}  // namespace drover
