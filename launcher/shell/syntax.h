// What a script says, as a tree: lists of pipelines of commands.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/shell/quoting.h"

namespace drover::shell {

struct AndOr;
using List = std::vector<AndOr>;

struct Redirection {
  enum class Kind { Read, Write, Append, ReadWrite, Duplicate, Document, Both, BothAppend };
  Kind kind;
  int fd;              // which is redirected
  std::string word;    // not expanded: a path, or a descriptor or "-" of Duplicate, or the text of Document
  bool plain = false;  // of a Document: nothing in it is expanded
};

struct Command {
  enum class Kind { Simple, Subshell, Group, If, While, Until, For, Case, Function };
  Kind kind = Kind::Simple;
  std::vector<std::string> assignments;  // NAME=WORD
  std::vector<std::string> words;        // of a for: the list; of a case: the word
  std::string name;                      // of a for: the variable; of a function
  bool all_parameters = false;           // a for without a list
  std::vector<List> parts;               // the bodies; of an if: condition, body, condition, body, ..., perhaps an else
  std::vector<std::vector<std::string>> patterns;  // of a case: those of each part
  std::vector<Redirection> redirections;
};

struct Pipeline {
  bool negated = false;
  std::vector<Command> commands;
  std::string text;  // as it was typed
};

struct AndOr {
  enum class When { Always, Succeeded, Failed };  // the one before it
  struct Part {
    When when;
    Pipeline pipeline;
  };
  std::vector<Part> parts;
  bool background = false;
  std::string text;
};

using Aliases = std::map<std::string, std::string>;  // a command's first word, and the text in its place

// Throws SyntaxError, and Incomplete if more text would make it right.
List parse(std::string_view script, const Aliases& aliases = {});

// The same, line by line (a line being all that its commands take): the aliases may change in between.
class Script {
 public:
  explicit Script(std::string_view text);
  ~Script();
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;
  std::optional<List> next(const Aliases& aliases);  // empty at the end

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover::shell
