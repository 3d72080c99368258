#include "launcher/shell/variables.h"

#include <algorithm>
#include <cstdlib>

#include "launcher/job_text.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace drover::shell {

std::optional<std::string> Variables::value(const std::string& name) const {
  const auto own = own_.find(name);
  if (own != own_.end()) return own->second;
  const char* exported = ::getenv(name.c_str());
  return exported != nullptr ? std::optional<std::string>(exported) : std::nullopt;
}

void Variables::assign(const std::string& name, const std::string& value) {
  if (::getenv(name.c_str()) != nullptr || export_later_.count(name) != 0)
    ::setenv(name.c_str(), value.c_str(), 1);
  else
    own_[name] = value;
}

void Variables::export_name(const std::string& name) {
  const auto own = own_.find(name);
  if (own == own_.end()) {
    export_later_[name] = true;
    return;
  }
  ::setenv(name.c_str(), own->second.c_str(), 1);
  own_.erase(own);
}

void Variables::unset(const std::string& name) {
  own_.erase(name);
  export_later_.erase(name);
  ::unsetenv(name.c_str());
}

std::vector<std::string> Variables::list(bool all) const {
  std::vector<std::string> out;
  const auto add = [&](const std::string& name, const std::string& value) {
    out.push_back(name + "=" + shell_command({value}));
  };
  if (all)
    for (const auto& [name, value] : own_) add(name, value);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string::npos) add(text.substr(0, equals), text.substr(equals + 1));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace drover::shell
