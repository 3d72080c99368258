// Errors that say what was done to what. Unexpected failures are exceptions of these types; outcomes that a caller must
// expect ("this process can't be moved") are values, see Refusal.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// A failed system call or kernel request: "PTRACE_SEIZE tid 4711: Operation not permitted".
class SystemError : public std::runtime_error {
 public:
  // `operation` names the call, `subject` the thing it was done to (may be empty); `error` is an errno value.
  SystemError(std::string_view operation, std::string_view subject, int error);
  int error() const noexcept { return error_; }

 private:
  int error_;
};

// Why something that was asked for can't be done faithfully. Nothing has been changed when one is returned.
struct Refusal {
  std::string reason;    // one line without a full stop, naming the object: "holds a raw socket, fd 7"
  bool passing = false;  // it is likely to be over in a moment: worth another try
  // Paths: all that is in the way is that these files are others where it is to be restored, and a dump could take them
  // along (DumpOptions::carry).
  std::vector<std::string> differing = {};
  pid_t traced = 0;  // this thread of the tree is traced by somebody, who is in the way
  // A process id or the number of a terminal of the tree: in namespaces of its own they are free.
  bool id_taken = false;
  bool grown = false;  // a file that RestoreOptions::truncate would cut
};

// Throws SystemError with the present errno when `result` is negative, else returns it.
template <class T>
T check(T result, std::string_view operation, std::string_view subject = {}) {
  if (result < 0) throw SystemError(operation, subject, errno);
  return result;
}

// "ENOENT"'s text, thread-safe: "No such file or directory".
std::string error_text(int error);

}  // namespace drover
