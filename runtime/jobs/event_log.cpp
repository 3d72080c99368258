#include "runtime/jobs/event_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "ckpt/sys/error.h"

namespace drover {

namespace {
std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}
}  // namespace

EventLog::EventLog(const std::string& path) : path_(path) {
  fd_.reset(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), "open", path));
  const std::string text = read_all(path);
  const auto last = text.rfind('\n');
  const std::size_t whole = last == std::string::npos ? 0 : last + 1;
  if (whole < text.size()) check(::ftruncate(fd_.get(), static_cast<off_t>(whole)), "truncate", path);
}

void EventLog::append(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t n = ::write(fd_.get(), lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    lines.remove_prefix(static_cast<std::size_t>(check(n, "append to", path_)));
  }
}

std::vector<std::string> read_event_lines(const std::string& path) {
  std::vector<std::string> lines;
  std::istringstream text(read_all(path));
  std::string line;
  while (std::getline(text, line))
    if (!text.eof()) lines.push_back(line);
  return lines;
}

}  // namespace drover
