// The indices of an array as they are typed, and the items that its tasks get: drover-submit(1).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace drover {

struct ArrayOption {
  std::string indices;     // "1-1000%20", "1,5,10-20:2"
  std::string lines_file;  // a task for each line
  std::string json_file;   // a task for each element of a list
  int at_most = 0;         // at a time; 0: any number

  bool given() const { return !indices.empty() || !lines_file.empty() || !json_file.empty(); }
  // Sets `array`, `array_limit` and `array_items` of a spec (runtime/control/PROTOCOL.md). Throws UsageError.
  void add_to(nlohmann::json& spec) const;
};

}  // namespace drover
