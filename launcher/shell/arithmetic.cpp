// $((...)): precedence climbing over C's operators on integers.
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <cstdlib>

#include "launcher/shell/expand.h"

namespace drover::shell {

namespace {

struct Operator {
  std::string_view text;
  int precedence;
};
// Longer ones before those that they begin with.
constexpr std::array<Operator, 18> kOperators = {{{"||", 1},
                                                  {"&&", 2},
                                                  {"==", 6},
                                                  {"!=", 6},
                                                  {"<=", 7},
                                                  {">=", 7},
                                                  {"<<", 8},
                                                  {">>", 8},
                                                  {"|", 3},
                                                  {"^", 4},
                                                  {"&", 5},
                                                  {"<", 7},
                                                  {">", 7},
                                                  {"+", 9},
                                                  {"-", 9},
                                                  {"*", 10},
                                                  {"/", 10},
                                                  {"%", 10}}};

class Evaluator {
 public:
  Evaluator(std::string_view text, Environment& environment) : text_(text), environment_(environment) {}

  long run() {
    skip_blanks();
    if (at_ == text_.size()) return 0;
    const long value = conditional();
    if (at_ != text_.size()) fail();
    return value;
  }

 private:
  [[noreturn]] void fail() const { throw ExpansionError(fmt::format("$(({})): not an expression", text_)); }

  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    skip_blanks();
    return true;
  }

  long conditional() {
    if (++depth_ > 200) fail();
    const long condition = binary(1);
    long value = condition;
    if (take('?')) {
      const long yes = conditional();
      if (!take(':')) fail();
      const long no = conditional();
      value = condition != 0 ? yes : no;
    }
    --depth_;
    return value;
  }

  const Operator* next_operator() {
    skip_blanks();
    for (const Operator& op : kOperators)
      if (text_.compare(at_, op.text.size(), op.text) == 0) return &op;
    return nullptr;
  }

  long binary(int least) {
    long left = unary();
    for (const Operator* op = next_operator(); op != nullptr && op->precedence >= least; op = next_operator()) {
      at_ += op->text.size();
      left = apply(op->text, left, binary(op->precedence + 1));
    }
    return left;
  }

  // Overflow wraps around, as in other shells.
  long apply(std::string_view op, long left, long right) const {
    const auto a = static_cast<unsigned long>(left), b = static_cast<unsigned long>(right);
    if (op == "+") return static_cast<long>(a + b);
    if (op == "-") return static_cast<long>(a - b);
    if (op == "*") return static_cast<long>(a * b);
    if (op == "/" || op == "%") {
      if (right == 0) throw ExpansionError(fmt::format("$(({})): division by zero", text_));
      if (right == -1) return op == "/" ? static_cast<long>(0 - a) : 0;
      return op == "/" ? left / right : left % right;
    }
    if (op == "<<") return static_cast<long>(a << (b & 63));
    if (op == ">>") return left >> (b & 63);
    if (op == "&") return left & right;
    if (op == "|") return left | right;
    if (op == "^") return left ^ right;
    if (op == "==") return left == right ? 1 : 0;
    if (op == "!=") return left != right ? 1 : 0;
    if (op == "<") return left < right ? 1 : 0;
    if (op == ">") return left > right ? 1 : 0;
    if (op == "<=") return left <= right ? 1 : 0;
    if (op == ">=") return left >= right ? 1 : 0;
    if (op == "&&") return left != 0 && right != 0 ? 1 : 0;
    return left != 0 || right != 0 ? 1 : 0;
  }

  long unary() {
    if (++depth_ > 200) fail();
    long value = 0;
    if (take('-'))
      value = static_cast<long>(0 - static_cast<unsigned long>(unary()));
    else if (take('+'))
      value = unary();
    else if (take('!'))
      value = unary() == 0 ? 1 : 0;
    else if (take('~'))
      value = ~unary();
    else
      value = primary();
    --depth_;
    return value;
  }

  long primary() {
    if (take('(')) {
      const long value = conditional();
      if (!take(')')) fail();
      return value;
    }
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    const std::string word(text_.substr(begin, at_ - begin));
    skip_blanks();
    if (word.empty()) fail();
    if (!is_name(word)) return number(word);
    const bool assigns = at_ < text_.size() && text_[at_] == '=' && text_.compare(at_, 2, "==") != 0;
    if (!assigns) return number(environment_.value(word).value_or("0"));
    take('=');
    const long value = conditional();
    environment_.assign(word, fmt::format("{}", value));
    return value;
  }

  long number(const std::string& word) const {
    char* end = nullptr;
    const long value = std::strtol(word.c_str(), &end, 0);
    while (*end == ' ') ++end;
    if (*end != '\0') throw ExpansionError(fmt::format("$(({})): '{}' is no number", text_, word));
    return value;
  }

  std::string_view text_;
  Environment& environment_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

long evaluate(std::string_view expression, Environment& environment) {
  return Evaluator(expression, environment).run();
}

}  // namespace drover::shell
