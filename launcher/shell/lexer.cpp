#include "launcher/shell/lexer.h"

#include <array>
#include <cctype>
#include <cstring>
#include <optional>

namespace drover::shell {

namespace {

// Longer ones before those that they begin with.
constexpr std::array<std::string_view, 23> kOperators = {"<<-", "<<<", "&>>", "&&", "||", ";;", "<<", ">>",
                                                         "<&",  ">&",  "<>",  ">|", "&>", "|&", "|",  "&",
                                                         ";",   "<",   ">",   "(",  ")",  "\n", ""};

std::string without_quotes(std::string_view word) {
  std::string out;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\'' || word[i] == '"') continue;
    if (word[i] == '\\' && i + 1 < word.size()) ++i;
    out += word[i];
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> run() {
    while (step()) {
    }
    if (!here_.empty()) throw Incomplete("a here-document that does not end");
    tokens_.push_back({.kind = Token::Kind::End, .text = "", .begin = text_.size(), .end = text_.size()});
    return std::move(tokens_);
  }

 private:
  bool step() {
    skip_blanks();
    if (at_ >= text_.size()) return false;
    if (text_[at_] == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (const auto op = operator_here(at_); !op.empty()) {
      take_operator(op, at_, -1);
    } else {
      take_word();
    }
    return true;
  }

  void skip_blanks() {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n')
        ++at_;  // the line goes on
      else if (text_[at_] != ' ' && text_[at_] != '\t' && text_[at_] != '\r')
        return;
    }
  }

  std::string_view operator_here(std::size_t at) const {
    for (const auto op : kOperators)
      if (text_.compare(at, op.size(), op) == 0) return op;
    return {};
  }

  void take_operator(std::string_view op, std::size_t begin, int fd) {
    const bool newline = op == "\n";
    at_ += op.size();
    Token token{.kind = newline ? Token::Kind::Newline : Token::Kind::Operator, .text = std::string(op), .fd = fd};
    token.begin = begin, token.end = at_;
    tokens_.push_back(std::move(token));
    if (op == "<<" || op == "<<-") here_.push_back(tokens_.size() - 1);
    if (newline) read_here_documents();
  }

  void take_word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && std::strchr(" \t\n\r|&;<>()", text_[at_]) == nullptr) at_ = end_of_part(text_, at_);
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (at_ < text_.size() && (text_[at_] == '<' || text_[at_] == '>') && word.size() <= 3 &&
        word.find_first_not_of("0123456789") == std::string_view::npos)
      return take_operator(operator_here(at_), begin, std::stoi(std::string(word)));
    std::string joined(word);  // lines that go on in the middle of a word
    if (word.find('\'') == std::string_view::npos)
      for (auto at = joined.find("\\\n"); at != std::string::npos; at = joined.find("\\\n", at)) joined.erase(at, 2);
    tokens_.push_back({.kind = Token::Kind::Word, .text = std::move(joined), .begin = begin, .end = at_});
  }

  // The lines after this one, up to the delimiter of each.
  void read_here_documents() {
    for (const std::size_t index : here_) {
      if (index + 1 >= tokens_.size() || tokens_[index + 1].kind != Token::Kind::Word)
        throw SyntaxError("a << without the word that ends its document");
      Token& here = tokens_[index];
      const std::string& word = tokens_[index + 1].text;
      const std::string delimiter = without_quotes(word);
      here.body_is_plain = delimiter != word;
      for (;;) {
        if (at_ >= text_.size()) throw Incomplete("a here-document that does not end with " + delimiter);
        const std::size_t end = std::min(text_.find('\n', at_), text_.size());
        std::string_view line = text_.substr(at_, end - at_);
        at_ = std::min(end + 1, text_.size());
        if (here.text == "<<-") line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
        if (line == delimiter) break;
        here.body.append(line).append("\n");
      }
    }
    here_.clear();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
  std::vector<std::size_t> here_;  // tokens whose documents begin after this line
};

}  // namespace

bool is_redirection(const Token& token) {
  return token.kind == Token::Kind::Operator &&
         (token.text[0] == '<' || token.text[0] == '>' || token.text == "&>" || token.text == "&>>");
}

std::vector<Token> tokenize(std::string_view script) { return Lexer(script).run(); }

}  // namespace drover::shell
