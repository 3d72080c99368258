// test and [: the operators of POSIX, with ! and, for what is written so still, -a, -o and brackets.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <stdexcept>

#include "launcher/shell/builtins.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

class Test {
 public:
  explicit Test(std::vector<std::string> words) : words_(std::move(words)) {}

  bool run() {
    if (words_.empty()) return false;
    const bool value = any();
    if (at_ != words_.size()) fail();
    return value;
  }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error(fmt::format("test: {}: not expected", at_ < words_.size() ? words_[at_] : "the end"));
  }
  std::size_t left() const { return words_.size() - at_; }
  bool is(std::size_t ahead, const char* word) const { return left() > ahead && words_[at_ + ahead] == word; }
  bool take(const char* word) {
    if (!is(0, word)) return false;
    ++at_;
    return true;
  }
  const std::string& next() {
    if (left() == 0) fail();
    return words_[at_++];
  }

  bool any() {
    bool value = every();
    while (take("-o")) value = every() || value;
    return value;
  }

  bool every() {
    bool value = one();
    while (take("-a")) value = one() && value;
    return value;
  }

  bool one() {
    if (left() >= 3 && is_binary(words_[at_ + 1])) return binary();
    if (left() > 1 && take("!")) return !one();
    if (left() > 2 && take("(")) {
      const bool value = any();
      if (!take(")")) fail();
      return value;
    }
    const std::string& word = next();
    if (left() > 0 && word.size() == 2 && word[0] == '-' && std::strchr("bcdefghLnprsStuwxz", word[1]) != nullptr)
      return unary(word[1], next());
    return !word.empty();
  }

  static bool is_binary(const std::string& word) {
    for (const char* op : {"=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef", "<", ">"})
      if (word == op) return true;
    return false;
  }

  static long number(const std::string& word) {
    long value = 0;
    const char* begin = word.data() + (word.rfind('+', 0) == 0 ? 1 : 0);
    const auto end = std::from_chars(begin, word.data() + word.size(), value);
    if (begin == end.ptr || end.ptr != word.data() + word.size())
      throw std::runtime_error(fmt::format("test: {}: not a number", word));
    return value;
  }

  bool binary() {
    const std::string left = next(), op = next(), right = next();
    if (op == "=" || op == "==") return left == right;
    if (op == "!=") return left != right;
    if (op == "<") return left < right;
    if (op == ">") return left > right;
    if (op == "-nt" || op == "-ot" || op == "-ef") return compare_files(left, op, right);
    const long a = number(left), b = number(right);
    if (op == "-eq") return a == b;
    if (op == "-ne") return a != b;
    if (op == "-lt") return a < b;
    if (op == "-le") return a <= b;
    return op == "-gt" ? a > b : a >= b;
  }

  static bool compare_files(const std::string& left, const std::string& op, const std::string& right) {
    struct stat a {
    }, b{};
    const bool has_a = ::stat(left.c_str(), &a) == 0, has_b = ::stat(right.c_str(), &b) == 0;
    if (op == "-ef") return has_a && has_b && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    if (!has_a || !has_b) return op == "-nt" ? has_a : has_b;
    const auto time = [](const struct stat& s) { return std::pair(s.st_mtim.tv_sec, s.st_mtim.tv_nsec); };
    return op == "-nt" ? time(a) > time(b) : time(a) < time(b);
  }

  static bool unary(char op, const std::string& word) {
    if (op == 'n') return !word.empty();
    if (op == 'z') return word.empty();
    if (op == 't') return ::isatty(static_cast<int>(number(word))) != 0;
    if (op == 'r' || op == 'w' || op == 'x')
      return ::eaccess(word.c_str(), op == 'r' ? R_OK : op == 'w' ? W_OK : X_OK) == 0;
    struct stat status {};
    const bool link = op == 'L' || op == 'h';
    if ((link ? ::lstat(word.c_str(), &status) : ::stat(word.c_str(), &status)) < 0) return false;
    switch (op) {
      case 'b':
        return S_ISBLK(status.st_mode);
      case 'c':
        return S_ISCHR(status.st_mode);
      case 'd':
        return S_ISDIR(status.st_mode);
      case 'f':
        return S_ISREG(status.st_mode);
      case 'p':
        return S_ISFIFO(status.st_mode);
      case 'S':
        return S_ISSOCK(status.st_mode);
      case 's':
        return status.st_size > 0;
      case 'u':
        return (status.st_mode & S_ISUID) != 0;
      case 'g':
        return (status.st_mode & S_ISGID) != 0;
      default:
        return !link || S_ISLNK(status.st_mode);
    }
  }

  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

}  // namespace

int builtin_test(Shell&, const std::vector<std::string>& argv) {
  std::vector<std::string> words(argv.begin() + 1, argv.end());
  try {
    if (argv[0] == "[") {
      if (words.empty() || words.back() != "]") throw std::runtime_error("[: ] is missing");
      words.pop_back();
    }
    return Test(std::move(words)).run() ? 0 : 1;
  } catch (const std::runtime_error& error) {
    tell("drover shell: {}\n", error.what());
    return 2;
  }
}

}  // namespace drover::shell
