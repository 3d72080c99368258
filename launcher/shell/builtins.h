// The commands that the shell does itself: they change it, or would not be worth a job.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drover::shell {

class Shell;

// Gives the exit status; what can't be done is thrown as std::runtime_error, or told.
using Builtin = int (*)(Shell& shell, const std::vector<std::string>& argv);

// Null if there is none of that name.
Builtin find_builtin(const std::string& name);

// builtin_*.cpp
int builtin_jobs(Shell& shell, const std::vector<std::string>& argv);
int builtin_fg(Shell& shell, const std::vector<std::string>& argv);
int builtin_bg(Shell& shell, const std::vector<std::string>& argv);
int builtin_wait(Shell& shell, const std::vector<std::string>& argv);
int builtin_kill(Shell& shell, const std::vector<std::string>& argv);
int builtin_umask(Shell& shell, const std::vector<std::string>& argv);
int builtin_ulimit(Shell& shell, const std::vector<std::string>& argv);
int builtin_test(Shell& shell, const std::vector<std::string>& argv);

int builtin_trap(Shell& shell, const std::vector<std::string>& argv);
int builtin_alias(Shell& shell, const std::vector<std::string>& argv);
int builtin_unalias(Shell& shell, const std::vector<std::string>& argv);
std::vector<std::string> builtin_names();

// To stdout at once: what is there may be a pipe that the next command has.
void say(std::string_view text);

}  // namespace drover::shell
