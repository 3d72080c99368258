// Points in time as people type them.
#pragma once

#include <cstdint>
#include <string>

namespace drover {

// "90s", "30m", "2h", "3d", "1w": so long before now. "2026-11-28", "2026-11-28 12:00[:30]" (or with a T): then, here.
// Nanoseconds since 1970. Throws UsageError.
std::uint64_t parse_time(const std::string& text, std::uint64_t now_ns);
std::uint64_t parse_time(const std::string& text);

}  // namespace drover
