#include "launcher/run/detach_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/commands/commands.h"

namespace drover {

static char key_named(const std::string& name, const std::string& all) {
  const std::string prefix = "ctrl-";
  const bool control = name.size() == prefix.size() + 1 && name.compare(0, prefix.size(), prefix) == 0;
  const char key = name.empty() ? '\0' : name.back();
  const bool letter = key >= 'a' && key <= 'z';
  if (control && (letter || (key >= '@' && key <= '_'))) return static_cast<char>(key & 0x1f);
  if (name.size() == 1 && key > ' ' && key < '\x7f') return key;
  throw UsageError(
      fmt::format("--detach-keys {}: '{}' is no key; write characters and ctrl-CHARACTER with commas "
                  "between them, such as {}",
                  all, name, DetachKeys::kDefault));
}

DetachKeys::DetachKeys(const std::string& names) {
  for (std::size_t begin = 0; !names.empty() && begin <= names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    keys_ += key_named(names.substr(begin, end - begin), names);
    begin = end + 1;
  }
}

bool DetachKeys::take(std::string_view typed, std::string& passed) {
  for (const char key : typed) {
    // What has been held back may hold the beginning of them once more.
    while (matched_ > 0 && key != keys_[matched_]) {
      std::size_t shorter = matched_ - 1;
      while (shorter > 0 && keys_.compare(0, shorter, keys_, matched_ - shorter, shorter) != 0) --shorter;
      passed.append(keys_, 0, matched_ - shorter);
      matched_ = shorter;
    }
    if (keys_.empty() || key != keys_[matched_])
      passed += key;
    else if (++matched_ == keys_.size())
      return true;
  }
  return false;
}

std::string DetachKeys::give_up() {
  std::string held = keys_.substr(0, matched_);
  matched_ = 0;
  return held;
}

}  // namespace drover
