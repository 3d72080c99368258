// Small helpers for the text files under /proc and /sys: whole-file reads, links, directory listings, and a cursor that
// takes a line apart. Parsers elsewhere take text, so that a test is a string.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// The whole of a small file. Throws SystemError naming the path.
std::string read_text(const std::string& path);
// Of one that the kernel writes in one piece (single_open()), such as status and stat: a short read is its end.
std::string read_record(const std::string& path);
// The same through a descriptor that was opened beforehand, as it is now; empty if it can't be read.
std::optional<std::string> try_read_record(int fd);
// The same as read_text(), empty if it can't be read.
std::optional<std::string> try_read_text(const std::string& path);
// The same below an open directory: looking up /proc/PID/task/TID takes longer than reading what is there.
std::optional<std::string> try_read_text_at(int directory, const std::string& path);
// Throws SystemError naming the path.
void write_text(const std::string& path, std::string_view text);
std::string read_link(const std::string& path);
std::optional<std::string> try_read_link(const std::string& path);

// The names in `directory` that are numbers, ascending. Throws SystemError naming the directory.
std::vector<int> list_numbers(const std::string& directory);

// "/proc/4711/maps"; see SeenThrough in tasks.h
std::string proc_path(pid_t pid, std::string_view name);

// Splits off the next line of `text` (without its newline); false at the end.
bool next_line(std::string_view& text, std::string_view& line);
// Splits off the next word, words being separated by blanks and tabs; empty at the end.
std::string_view next_word(std::string_view& line);
// The whole of `word` as a number; empty if it is not one.
std::optional<std::uint64_t> to_number(std::string_view word, int base = 10);
std::optional<std::int64_t> to_signed(std::string_view word);

}  // namespace drover
