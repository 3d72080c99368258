// Text as a terminal shows it: how many columns it takes, cut to fit, and without what would move the cursor.
#pragma once

#include <string>
#include <string_view>

namespace drover {

// Columns: none for combining characters, two for wide ones. Text is UTF-8; a byte that is none takes one.
std::size_t display_width(const std::string& text);

inline constexpr std::string_view kEllipsis = "…";

// As much of the text as fits into `columns`, ending in kEllipsis if that is not all. Never half a character.
std::string cut_to_width(const std::string& text, std::size_t columns);

// A job's name or reason must not move the cursor of whoever lists it: '?' for every control character and bad byte.
std::string printable(const std::string& text);

}  // namespace drover
