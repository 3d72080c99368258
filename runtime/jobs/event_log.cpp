#include "runtime/jobs/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "ckpt/sys/error.h"

namespace drover {

// Where the last newline ends; 0 if there is none.
static off_t whole_lines(int fd, const std::string& path) {
  struct stat status {};
  check(::fstat(fd, &status), "fstat", path);
  char part[65536];
  for (off_t end = status.st_size; end > 0;) {
    const off_t begin = std::max<off_t>(0, end - static_cast<off_t>(sizeof part));
    const ssize_t n = check(::pread(fd, part, static_cast<std::size_t>(end - begin), begin), "read", path);
    const auto last = std::string_view(part, static_cast<std::size_t>(n)).rfind('\n');
    if (last != std::string_view::npos) return begin + static_cast<off_t>(last) + 1;
    end = begin;
  }
  return 0;
}

EventLog::EventLog(const std::string& path) : path_(path) {
  fd_.reset(check(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600), "open", path));
  check(::ftruncate(fd_.get(), whole_lines(fd_.get(), path)), "truncate", path);
}

void EventLog::append(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t n = ::write(fd_.get(), lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    lines.remove_prefix(static_cast<std::size_t>(check(n, "append to", path_)));
  }
}

void for_each_event_line(const std::string& path, const std::function<void(std::string&& line)>& line) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  while (std::getline(file, text))
    if (!file.eof()) line(std::move(text));
}

}  // namespace drover
