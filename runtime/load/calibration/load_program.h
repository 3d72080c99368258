// The programs that a calibration runs: children that load the machine, and the probe whose work is counted. Whatever
// ends the calibration, they end too.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// The user (SIGINT) or the system (SIGTERM, SIGHUP) wants an end. Thrown through everything, so that destructors clean
// up.
struct Interrupted {
  int signal;
};

// While it lives SIGINT, SIGTERM and SIGHUP are blocked in this thread and end a sleep().
class Interruptible {
 public:
  Interruptible();
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  // At least so long; 0 only looks for a signal. Throws Interrupted.
  void sleep(std::chrono::nanoseconds) const;

 private:
  sigset_t set_, old_;
};

// One child that runs a function for ever. It dies with its parent (PR_SET_PDEATHSIG) and is the first that the kernel
// kills when memory runs out.
class LoadProgram {
 public:
  // `body` runs in the child, which is a fork of a process without threads, and should not return. Throws SystemError.
  explicit LoadProgram(const std::function<void()>& body);
  ~LoadProgram();  // kills and reaps it
  LoadProgram(LoadProgram&& other) noexcept : pid_(other.pid_) { other.pid_ = -1; }
  LoadProgram& operator=(LoadProgram&&) = delete;

  double cpu_seconds() const;  // that it has used
  bool alive();                // false also if the kernel has killed it

 private:
  pid_t pid_ = -1;
};
using LoadPrograms = std::vector<LoadProgram>;

// A counter in memory that a child shares with this process.
class SharedCounter {
 public:
  SharedCounter();  // throws SystemError
  ~SharedCounter();
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;
  std::atomic<std::uint64_t>& get() const { return *counter_; }

 private:
  std::atomic<std::uint64_t>* counter_;
};

// A file without a name in `directory`: nothing is left of it, however this process ends. Throws SystemError.
UniqueFd nameless_file(const std::string& directory);

}  // namespace drover
