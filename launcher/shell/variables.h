// The shell's variables. Those that are exported live in the process's environment, where a job's spec takes them from.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover::shell {

class Variables {
 public:
  std::optional<std::string> value(const std::string& name) const;
  void assign(const std::string& name, const std::string& value);  // what is exported stays so
  void export_name(const std::string& name);
  void unset(const std::string& name);
  // "NAME=value" as a shell reads it, sorted; with those that are not exported or without.
  std::vector<std::string> list(bool all) const;

 private:
  std::map<std::string, std::string> own_;
  std::map<std::string, bool> export_later_;  // named before it was set
};

}  // namespace drover::shell
