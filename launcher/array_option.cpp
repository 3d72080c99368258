#include "launcher/array_option.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string_view>

#include "launcher/commands/commands.h"

namespace drover {

namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw UsageError(
      fmt::format("--array {}: must be indices such as 1-1000, 0-99:10 or 1,5,7-9, in ascending order, and "
                  "after them perhaps %20: at most 20 at a time",
                  text));
}

// The number that `text` begins with, which is cut off.
std::int64_t take_number(std::string_view& text, const std::string& whole) {
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0) refuse(whole);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

void parse_indices(const std::string& whole, nlohmann::json& ranges, int& at_most) {
  std::string_view text = whole;
  std::int64_t before = -1;
  do {
    const std::int64_t first = take_number(text, whole), last = take(text, '-') ? take_number(text, whole) : first,
                       step = take(text, ':') ? take_number(text, whole) : 1;
    if (first <= before || last < first || step < 1) refuse(whole);
    ranges.push_back({first, last, step});
    before = last;
  } while (take(text, ','));
  if (take(text, '%')) {
    const std::int64_t limit = take_number(text, whole);
    if (limit < 1 || limit > 1'000'000) refuse(whole);
    at_most = static_cast<int>(limit);
  }
  if (!text.empty()) refuse(whole);
}

std::string read_file(const std::string& option, const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) throw UsageError(fmt::format("{} {}: {}", option, path, std::strerror(errno)));
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) throw UsageError(fmt::format("{} {}: {}", option, path, std::strerror(errno)));
  return text;
}

nlohmann::json lines_of(const std::string& path) {
  nlohmann::json items = nlohmann::json::array();
  std::string_view text;
  const std::string whole = read_file("--each-line", path);
  for (text = whole; !text.empty();) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    items.push_back(std::string(line));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return items;
}

// A text as it is; anything else as JSON.
nlohmann::json elements_of(const std::string& path) {
  const auto list = nlohmann::json::parse(read_file("--each-json", path), nullptr, false);
  if (!list.is_array()) throw UsageError(fmt::format("--each-json {}: must be a list, such as [1, \"b\"]", path));
  nlohmann::json items = nlohmann::json::array();
  for (const auto& element : list) items.push_back(element.is_string() ? element.get<std::string>() : element.dump());
  return items;
}

}  // namespace

void ArrayOption::add_to(nlohmann::json& spec) const {
  if (!given()) {
    if (at_most > 0) throw UsageError("--at-most is for arrays; see --array, --each-line and --each-json");
    return;
  }
  if (!indices.empty() + !lines_file.empty() + !json_file.empty() > 1)
    throw UsageError("--array, --each-line and --each-json each say which tasks there are; give one of them");
  nlohmann::json ranges = nlohmann::json::array();
  int limit = 0;
  if (!indices.empty()) {
    parse_indices(indices, ranges, limit);
  } else {
    const std::string& path = lines_file.empty() ? json_file : lines_file;
    const nlohmann::json items = lines_file.empty() ? elements_of(path) : lines_of(path);
    if (items.empty()) throw UsageError(fmt::format("{}: there is nothing in it to make a task of", path));
    ranges.push_back({1, items.size(), 1});
    spec["array_items"] = items;
  }
  spec["array"] = ranges;
  spec["array_limit"] = at_most > 0 ? at_most : limit;
}

}  // namespace drover
