#include "launcher/shell/complete.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <utility>

#include "launcher/shell/quoting.h"

namespace drover::shell {

namespace {

constexpr std::size_t kMostListed = 200;

enum class Kind { Command, File, Directory, Variable };

// The word that the cursor is in or after, as far as it has been typed.
struct Typed {
  Kind kind = Kind::Command;
  std::string text;          // without quotes
  char quote = 0;            // which is open
  bool plain_tilde = false;  // it begins with a ~ that is not quoted
  bool braces = false;       // ${
};

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Reads a line as the lexer does, but one that may end anywhere.
class Reader {
 public:
  Typed read(std::string_view line) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] != '\\' || quote_ == '\'')
        take(line[i]);
      else if (++i < line.size())
        add(line[i], true);
    }
    Typed typed;
    typed.text = word_;
    typed.quote = quote_;
    typed.plain_tilde = tilde_;
    if (dollar_ != std::string::npos) {
      typed.kind = Kind::Variable;
      typed.text = word_.substr(dollar_);
      typed.braces = typed.text.rfind('{', 0) == 0;
      if (typed.braces) typed.text.erase(0, 1);
    } else if (redirects_ || !command_) {
      typed.kind = !redirects_ && first_ == "cd" ? Kind::Directory : Kind::File;
    }
    return typed;
  }

 private:
  void take(char c) {
    if (quote_ != 0 && c == quote_) {
      quote_ = 0;
    } else if (quote_ == 0 && (c == '\'' || c == '"')) {
      quote_ = c, begun_ = true;
    } else if (quote_ != '\'' && c == '$') {
      add(c, true);
      dollar_ = word_.size();
    } else if (quote_ == 0 &&
               is_one_of(std::string_view(&c, 1), {" ", "\t", "\n", "|", "&", ";", "(", ")", "<", ">", "`"})) {
      end_word();
      if (c == '<' || c == '>')
        redirects_ = true;
      else if (c != ' ' && c != '\t' && !(c == '&' && redirects_))
        begin_command();
    } else if (quote_ == '"' && (c == '`' || (c == '(' && dollar_ == word_.size()))) {
      quote_ = 0, word_.clear(), begun_ = false;
      begin_command();
    } else {
      add(c, quote_ != 0);
    }
  }

  void add(char c, bool quoted) {
    if (!begun_ && c == '~' && !quoted) tilde_ = true;
    begun_ = true;
    const bool opens = dollar_ == word_.size() && c == '{';
    if (dollar_ != std::string::npos && !opens && !is_name_character(c)) dollar_ = std::string::npos;
    word_ += c;
  }

  void begin_command() {
    command_ = true, redirects_ = false, node_ = false;
    first_.clear();
    dollar_ = std::string::npos;
  }

  void end_word() {
    if (begun_) {
      if (std::exchange(redirects_, false)) {
      } else if (std::exchange(node_, false)) {
        // of `on NODE`: the command follows
      } else if (command_ && word_ == "on") {
        node_ = true;
      } else if (command_ && assignment_name(word_).empty() &&
                 !is_one_of(word_, {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "exec"})) {
        command_ = false;
        first_ = word_;
      }
    }
    word_.clear();
    begun_ = tilde_ = false;
    dollar_ = std::string::npos;
  }

  std::string word_, first_;
  char quote_ = 0;
  bool begun_ = false, tilde_ = false, command_ = true, redirects_ = false, node_ = false;
  std::size_t dollar_ = std::string::npos;
};

struct Name {
  std::string text;  // the last part
  bool is_directory = false;
  bool operator<(const Name& other) const { return text < other.text; }
};

void add_matching(std::set<Name>& names, const std::vector<std::string>& all, const std::string& begin) {
  for (const std::string& name : all)
    if (name.rfind(begin, 0) == 0) names.insert({name});
}

std::set<Name> files(const Typed& typed, const std::string& home) {
  const auto slash = typed.text.rfind('/');
  std::string directory = slash == std::string::npos ? "." : typed.text.substr(0, slash + 1);
  const std::string begin = slash == std::string::npos ? typed.text : typed.text.substr(slash + 1);
  if (typed.plain_tilde && typed.text.rfind("~/", 0) == 0) directory.replace(0, 1, home);
  std::set<Name> names;
  std::error_code error;
  for (std::filesystem::directory_iterator next(directory, error), end; !error && next != end; next.increment(error)) {
    const std::string name = next->path().filename().string();
    if (name.rfind(begin, 0) != 0 || (name[0] == '.' && begin.empty())) continue;
    struct stat status {};
    const bool known = ::stat(next->path().c_str(), &status) == 0, is_directory = known && S_ISDIR(status.st_mode);
    if (typed.kind == Kind::Directory && !is_directory) continue;
    if (typed.kind == Kind::Command && !is_directory && ::access(next->path().c_str(), X_OK) != 0) continue;
    names.insert({name, is_directory});
  }
  return names;
}

std::string quoted(const std::string& text, char quote) {
  const std::string_view special = quote == 0 ? " \t\n\\'\"$`|&;<>()*?[]#~!{}" : quote == '"' ? "\\\"$`" : "";
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// That all of them begin with; never half a character.
std::string common_begin(const std::set<Name>& names) {
  const std::string &first = names.begin()->text, &last = names.rbegin()->text;  // of sorted ones these differ first
  auto length = static_cast<std::size_t>(std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first -
                                         first.begin());
  while (length > 0 && length < first.size() && (static_cast<unsigned char>(first[length]) & 0xc0) == 0x80) --length;
  return first.substr(0, length);
}

}  // namespace

Completion complete(std::string_view line, const Completions& known) {
  const Typed typed = Reader().read(line);
  std::set<Name> names;
  if (typed.kind == Kind::Variable)
    add_matching(names, known.variables(), typed.text);
  else if (typed.kind == Kind::Command && typed.text.find('/') == std::string::npos)
    add_matching(names, known.commands(), typed.text);
  else
    names = files(typed, known.home);
  if (names.empty()) return {};
  const auto slash = typed.kind == Kind::Variable ? std::string::npos : typed.text.rfind('/');
  const std::size_t have = slash == std::string::npos ? typed.text.size() : typed.text.size() - slash - 1;
  Completion out;
  out.insert = quoted(common_begin(names).substr(have), typed.quote);
  if (names.size() > 1) {
    for (const Name& name : names) out.possible.push_back(name.text + (name.is_directory ? "/" : ""));
    return out;
  }
  if (names.begin()->is_directory)
    out.insert += '/';
  else if (typed.braces)
    out.insert += '}';
  else if (typed.kind != Kind::Variable || typed.quote == 0)
    out.insert += (typed.quote != 0 ? std::string{typed.quote} : "") + " ";
  return out;
}

std::vector<std::string> programs_of(std::string_view path) {
  std::set<std::string> names;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string directory(path.substr(begin, end - begin));
    std::error_code error;
    for (std::filesystem::directory_iterator next(directory.empty() ? "." : directory, error), none;
         !error && next != none; next.increment(error))
      if (::access(next->path().c_str(), X_OK) == 0 && !next->is_directory(error))
        names.insert(next->path().filename().string());
    begin = end + 1;
  }
  return {names.begin(), names.end()};
}

std::string list_possible(const std::vector<std::string>& possible, std::size_t width) {
  if (possible.size() > kMostListed) return fmt::format("{} are possible\n", possible.size());
  std::size_t longest = 0;
  for (const std::string& name : possible) longest = std::max(longest, name.size());
  const std::size_t columns = std::max<std::size_t>(1, width / (longest + 2));
  const std::size_t rows = (possible.size() + columns - 1) / columns;
  std::string out;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = row; i < possible.size(); i += rows)
      out += i + rows < possible.size() ? fmt::format("{:<{}}", possible[i], longest + 2) : possible[i];
    out += "\n";
  }
  return out;
}

}  // namespace drover::shell
