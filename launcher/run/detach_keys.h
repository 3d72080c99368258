// The keys that detach a terminal from its job, found in what is typed.
#pragma once

#include <string>
#include <string_view>

namespace drover {

class DetachKeys {
 public:
  static constexpr const char* kDefault = "ctrl-\\,d";

  // Keys with commas between them: a character, or ctrl- and one of a-z @ [ \ ] ^ _; empty: none. Throws UsageError.
  explicit DetachKeys(const std::string& names);

  // True if they have been typed in full; else `passed` gets what is not, or no longer, a part of them.
  bool take(std::string_view typed, std::string& passed);
  // Typed so far and held back.
  bool is_waiting() const { return matched_ > 0; }
  std::string give_up();

 private:
  std::string keys_;
  std::size_t matched_ = 0;
};

}  // namespace drover
