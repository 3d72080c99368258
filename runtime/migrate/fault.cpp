#include "runtime/migrate/fault.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace drover {

namespace {
struct Faults {
  std::string file;
  bool on = false;
};
Faults& faults() {
  static Faults the_faults;
  return the_faults;
}

void act(const std::string& point, const std::string& action) {
  if (action == "kill") {
    ::kill(::getpid(), SIGKILL);
  } else if (action == "stop") {
    ::kill(::getpid(), SIGSTOP);
  } else if (action.rfind("delay=", 0) == 0) {
    ::usleep(static_cast<useconds_t>(std::atoi(action.c_str() + 6)) * 1000);
  } else {
    throw std::runtime_error("fault injected at " + point);
  }
}
}  // namespace

void arm_faults(const std::string& node_dir) {
  faults() = {node_dir + "/fault", std::getenv("DROVER_FAULTS") != nullptr};
}

// The action armed for `name`, whose line is then taken out of the file; empty if there is none.
static std::string take_fault(const std::string& name, bool drop) {
  if (!faults().on) return {};
  std::ifstream file(faults().file);
  std::string point, action, found, rest;
  while (file >> point >> action)
    if (found.empty() && point == name && (action == "drop") == drop)
      found = action;
    else
      rest += fmt::format("{} {}\n", point, action);
  if (found.empty()) return {};
  ::unlink(faults().file.c_str());  // made anew, not written to: whoever armed it may be another user
  if (!rest.empty()) std::ofstream(faults().file) << rest;
  return found;
}

bool fault_drop(const std::string& name) { return !take_fault(name, true).empty(); }

void fault_point(const char* name) {
  if (const std::string action = take_fault(name, false); !action.empty()) act(name, action);
}

}  // namespace drover
