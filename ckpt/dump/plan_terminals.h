// Which pseudo-terminals a tree has, which descriptors are of which of them, and whose controlling terminals they are.
//
// Their numbers are the kernel's only names for them, and each devpts file system has numbers of its own. A terminal is
// the tree's own if the tree holds its master.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/plan_descriptor.h"

namespace drover {

class TerminalPlanner {
 public:
  // Either side of one, or /dev/tty.
  static bool is_terminal(const Descriptor&);
  // Which terminal it is, and which side of it; or a reason against it.
  std::optional<Refusal> add(const Descriptor&, OpenFileState&);

  // When all descriptors are known. `names`: of all files, for refusals.
  std::optional<Refusal> finish(std::span<const pid_t> living, const DumpOptions&,
                                const std::vector<std::string>& names, FilePlan&);

 private:
  struct Terminal {
    TerminalState state;
    FilePlan::TerminalPlace place;
    dev_t device = 0;  // the devpts file system
    std::string name;  // for refusals
  };
  std::uint32_t find_or_add(const Descriptor&, dev_t device, std::uint32_t number, bool hung_up);
  std::optional<Refusal> add_master(const Descriptor&, OpenFileState&);
  std::optional<Refusal> add_slave(const Descriptor&, OpenFileState&);
  std::optional<Refusal> find_controlling(pid_t);
  std::optional<Refusal> check_tty_files(const std::vector<std::string>& names, FilePlan&);
  std::optional<Refusal> check_masters(std::span<const pid_t> living, bool may_be_given);

  std::vector<Terminal> terminals_;
};

}  // namespace drover
