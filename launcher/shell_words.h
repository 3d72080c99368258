// A line of words quoted as in a shell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drover {

// The words of `line`: 'as it is', "with \" and \\", a\ b, and nothing from a # on that begins a word. Nothing is
// expanded. Throws std::invalid_argument for a quote that isn't closed and a backslash at the end.
std::vector<std::string> split_shell_words(std::string_view line);

}  // namespace drover
