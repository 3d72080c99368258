// Lengths of time as people type and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover {

// Seconds of "90" (seconds), "90s", "15m", "2h", "1d", "1w", "1h30m", and as sbatch(1) writes them "30:00" (minutes and
// seconds), "1:30:00", "1-12" (days and hours), "1-12:30" and "1-12:30:15". Nothing for any other text, and for more
// than ten years.
std::optional<std::uint64_t> parse_duration_seconds(std::string_view text);

// "90 s" is "1 min 30 s": whole units, the largest first.
std::string duration_text(std::uint64_t seconds);

}  // namespace drover
