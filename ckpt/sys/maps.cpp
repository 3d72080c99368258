#include "ckpt/sys/maps.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <stdexcept>

#include "ckpt/sys/text.h"

namespace drover {

// The kernel writes a newline in a path as \012 (seq_file_path(), mangled characters "\n").
static std::string unescape(std::string_view path) {
  std::string text;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path.substr(i, 4) == "\\012") {
      text += '\n';
      i += 3;
    } else {
      text += path[i];
    }
  }
  return text;
}

static int parse_prot(std::string_view word) {
  return (word[0] == 'r' ? PROT_READ : 0) | (word[1] == 'w' ? PROT_WRITE : 0) | (word[2] == 'x' ? PROT_EXEC : 0);
}

// "7f00-8f00 rw-p 00001000 fe:01 1234    /path with blanks"
static bool parse_area(std::string_view line, Mapping& area) {
  const auto range = next_word(line), prot = next_word(line), offset = next_word(line), device = next_word(line),
             inode = next_word(line);
  const auto dash = range.find('-'), colon = device.find(':');
  if (dash == std::string_view::npos || colon == std::string_view::npos || prot.size() != 4) return false;
  const auto start = to_number(range.substr(0, dash), 16), end = to_number(range.substr(dash + 1), 16);
  const auto at = to_number(offset, 16), ino = to_number(inode);
  const auto major = to_number(device.substr(0, colon), 16), minor = to_number(device.substr(colon + 1), 16);
  if (!start || !end || !at || !ino || !major || !minor) return false;
  area.start = *start, area.end = *end, area.offset = *at, area.inode = *ino;
  area.prot = parse_prot(prot);
  area.shared = prot[3] == 's';
  area.device = makedev(*major, *minor);
  const auto path = line.find_first_not_of(' ');
  if (path != std::string_view::npos) area.path = unescape(line.substr(path));
  return true;
}

static std::invalid_argument unreadable(std::string_view line) {
  return std::invalid_argument("not a line of /proc/PID/maps: " + std::string(line));
}

std::vector<Mapping> parse_maps(std::string_view text) {
  std::vector<Mapping> areas;
  for (std::string_view line; next_line(text, line);) {
    if (!parse_area(line, areas.emplace_back())) throw unreadable(line);
  }
  return areas;
}

static void parse_detail(std::string_view line, Mapping& area) {
  // There are two dozen of these for every area.
  if (std::string_view("KPSV").find(line.front()) == std::string_view::npos) return;
  const auto key = next_word(line);
  if (key == "VmFlags:") {
    const auto begin = line.find_first_not_of(' ');
    if (begin != std::string_view::npos) area.flags = line.substr(begin);
  } else if (key == "Swap:") {
    area.swap_kib = to_number(next_word(line)).value_or(0);
  } else if (key == "KernelPageSize:") {
    area.page_kib = to_number(next_word(line)).value_or(0);
  } else if (key == "ProtectionKey:") {
    area.protection_key = static_cast<unsigned>(to_number(next_word(line)).value_or(0));
  }
}

std::vector<Mapping> parse_smaps(std::string_view text) {
  std::vector<Mapping> areas;
  for (std::string_view line; next_line(text, line);) {
    // Detail lines begin with a capital letter ("Rss:"), area lines with a hexadecimal digit in lower case.
    if (!line.empty() && line[0] >= 'A' && line[0] <= 'Z') {
      if (areas.empty()) throw unreadable(line);
      parse_detail(line, areas.back());
    } else if (!parse_area(line, areas.emplace_back())) {
      throw unreadable(line);
    }
  }
  return areas;
}

}  // namespace drover
