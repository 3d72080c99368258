#include "runtime/control/paths.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool is_own_directory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

std::string runtime_base() {
  if (auto dir = environment("DROVER_RUNTIME_DIR"); !dir.empty()) return dir;
  if (auto dir = environment("XDG_RUNTIME_DIR"); !dir.empty() && is_own_directory(dir)) return dir + "/drover";
  return default_runtime_base();
}

// A shepherd removes its socket at its end, and keeps the next world's way to its job until then.
bool has_shepherds(const std::string& node_dir) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(node_dir, ignored))
    if (entry.path().filename().string().compare(0, 4, "job-") == 0) return true;
  return false;
}

std::string state_base() {
  if (auto dir = environment("DROVER_STATE_DIR"); !dir.empty()) return dir;
  if (auto dir = environment("XDG_STATE_HOME"); !dir.empty()) return dir + "/drover";
  if (auto home = environment("HOME"); !home.empty() && is_own_directory(home)) return home + "/.local/state/drover";
  throw std::runtime_error(
      "no place for Drover's state: HOME is not a directory of yours; set DROVER_STATE_DIR to one that all nodes "
      "share");
}

// A name that is safe as one path component and leaves room in sun_path (108 bytes).
void check_name(const std::string& name, const char* variable) {
  const bool fits =
      !name.empty() && name.size() <= 32 && name[0] != '.' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == std::string::npos;
  if (!fits)
    throw std::runtime_error(fmt::format(
        "{}='{}': an instance's name is 1 to 32 letters, digits, dots, dashes or underscores", variable, name));
}

void check_private(const std::string& path) {
  struct stat status;
  check(::lstat(path.c_str(), &status), "stat", path);
  if (!S_ISDIR(status.st_mode)) throw std::runtime_error(fmt::format("{} is not a directory", path));
  if (status.st_uid != ::geteuid())
    throw std::runtime_error(fmt::format("{} belongs to uid {}, not to you", path, status.st_uid));
  if ((status.st_mode & 077) != 0)
    throw std::runtime_error(fmt::format("{} is open to other users; run: chmod 700 {}", path, path));
}

}  // namespace

std::string default_runtime_base() { return fmt::format("/tmp/drover-{}", ::geteuid()); }

InstancePaths instance_paths() {
  std::string instance = environment("DROVER_INSTANCE");
  if (instance.empty()) instance = "default";
  check_name(instance, "DROVER_INSTANCE");
  return {runtime_base() + "/" + instance, state_base() + "/" + instance};
}

void make_private_directory(const std::string& path, const std::string& base) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0700) < 0 && errno != EEXIST) throw SystemError("mkdir", parent, errno);
  }
  if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) throw SystemError("mkdir", path, errno);
  // Whoever owns the folder above in /tmp could put another one in this one's place.
  if (path.compare(0, base.size() + 1, base + "/") == 0) check_private(base);
  check_private(path);
}

bool remove_node_dir(const InstancePaths& paths, const std::string& node, std::chrono::milliseconds longest) {
  const std::string directory = paths.node_dir(node);
  ::unlink(paths.control_socket(node).c_str());
  for (const auto end = std::chrono::steady_clock::now() + longest; has_shepherds(directory); ::usleep(20'000))
    if (std::chrono::steady_clock::now() >= end) return false;
  ::unlink((directory + "/shepherds.log").c_str());
  ::rmdir(directory.c_str());
  remove_empty_dirs(paths);
  return true;
}

void remove_empty_dirs(const InstancePaths& paths) {
  ::rmdir(paths.runtime.c_str());
  if (runtime_base() == default_runtime_base()) ::rmdir(runtime_base().c_str());  // not a directory that somebody chose
}

std::vector<std::string> local_nodes(const InstancePaths& paths) {
  std::vector<std::string> nodes;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.runtime, ignored))
    if (std::filesystem::exists(entry.path() / "control", ignored)) nodes.push_back(entry.path().filename());
  std::sort(nodes.begin(), nodes.end(),
            [](const auto& a, const auto& b) { return ::strverscmp(a.c_str(), b.c_str()) < 0; });
  return nodes;
}

}  // namespace drover
