#include "ckpt/sys/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "ckpt/sys/error.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static std::optional<std::string> read_whole(const std::string& path, int directory = AT_FDCWD,
                                             bool short_read_ends = false) {
  const UniqueFd fd(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  std::size_t used = 0;
  for (;;) {
    text.resize(used + std::max<std::size_t>(4096, used));
    const ssize_t n = ::read(fd.get(), text.data() + used, text.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::nullopt;
    used += static_cast<std::size_t>(n);
    if (n == 0 || (short_read_ends && used < text.size())) break;
  }
  text.resize(used);
  return text;
}

std::string read_text(const std::string& path) {
  auto text = read_whole(path);
  if (!text) throw SystemError("read", path, errno);
  return *std::move(text);
}

std::string read_record(const std::string& path) {
  auto text = read_whole(path, AT_FDCWD, true);
  if (!text) throw SystemError("read", path, errno);
  return *std::move(text);
}

std::optional<std::string> try_read_record(int fd) {
  std::string text(4096, '\0');
  for (;;) {
    const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
    if (n < 0) return std::nullopt;
    if (static_cast<std::size_t>(n) < text.size()) {
      text.resize(static_cast<std::size_t>(n));
      return text;
    }
    text.resize(text.size() * 2);
  }
}

std::optional<std::string> try_read_text(const std::string& path) { return read_whole(path); }

std::optional<std::string> try_read_text_at(int directory, const std::string& path) {
  return read_whole(path, directory);
}

void write_text(const std::string& path, std::string_view text) {
  const UniqueFd fd(check(::open(path.c_str(), O_WRONLY | O_CLOEXEC), "open", path));
  check(::write(fd.get(), text.data(), text.size()), "write", path);
}

std::optional<std::string> try_read_link(const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  if (n < 0) return std::nullopt;
  target.resize(static_cast<std::size_t>(n));
  return target;
}

std::string read_link(const std::string& path) {
  auto target = try_read_link(path);
  if (!target) throw SystemError("readlink", path, errno);
  return *std::move(target);
}

std::vector<int> list_numbers(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), &::closedir);
  if (!dir) throw SystemError("opendir", directory, errno);
  std::vector<int> numbers;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (const auto number = to_number(entry->d_name)) numbers.push_back(static_cast<int>(*number));
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string proc_path(pid_t pid, std::string_view name) { return fmt::format("/proc/{}/{}", task_of(pid), name); }

bool next_line(std::string_view& text, std::string_view& line) {
  if (text.empty()) return false;
  const auto end = text.find('\n');
  line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return true;
}

std::string_view next_word(std::string_view& line) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };  // find_first_of() looks each up in a string
  const auto begin = std::find_if_not(line.begin(), line.end(), is_blank);
  const auto end = std::find_if(begin, line.end(), is_blank);
  line.remove_prefix(static_cast<std::size_t>(end - line.begin()));
  return {begin, end};
}

template <class T>
static std::optional<T> parse_number(std::string_view word, int base) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> to_number(std::string_view word, int base) {
  return parse_number<std::uint64_t>(word, base);
}
std::optional<std::int64_t> to_signed(std::string_view word) { return parse_number<std::int64_t>(word, 10); }

}  // namespace drover
