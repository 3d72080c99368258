// Names of a job's files with parts that are known only when the job has its number: `out-%j.txt`. Checked by the
// launcher, expanded by the job's origin.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover {

struct PatternValues {
  std::int64_t job = 0;
  std::string_view name;
  std::optional<std::int64_t> array_index = {};  // of an array's task only
};

// %j: the job's id; %n: its name, in which each '/' becomes '_' so that it stays one file's; %a: the index of an
// array's task; %%: a percent sign. Throws std::invalid_argument for anything else after a '%', and for %a without an
// index.
std::string expand_path_pattern(std::string_view pattern, const PatternValues& values);

// `path` so that its expansion is `path` itself.
std::string escape_path_pattern(std::string_view path);

}  // namespace drover
