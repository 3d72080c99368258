// Recursive descent, a function for each rule of the shell's grammar (POSIX.1-2017, XCU 2.10).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "launcher/shell/lexer.h"
#include "launcher/shell/syntax.h"

namespace drover::shell {

namespace {

constexpr std::array<std::string_view, 9> kClosing = {"then", "elif", "else", "fi", "do", "done", "esac", "}", "in"};

constexpr int kDeepest = 200;

class Parser {
 public:
  explicit Parser(std::string_view script) : script_(script), tokens_(tokenize(script)) {}

  List run(const Aliases& aliases) {
    aliases_ = &aliases;
    List list = parse_list();
    if (now().kind != Token::Kind::End) unexpected();
    return list;
  }

  std::optional<List> next_line(const Aliases& aliases) {
    aliases_ = &aliases;
    skip_newlines();
    if (now().kind == Token::Kind::End) return std::nullopt;
    List list;
    while (now().kind != Token::Kind::Newline && now().kind != Token::Kind::End) {
      if (list_ends()) unexpected();
      list.push_back(parse_and_or());
      end_and_or(list.back());
    }
    return list;
  }

 private:
  const Token& now() const { return tokens_[at_]; }
  const Token& take() { return tokens_[at_ == tokens_.size() - 1 ? at_ : at_++]; }
  bool is_word(std::string_view text) const { return now().kind == Token::Kind::Word && now().text == text; }

  [[noreturn]] void unexpected() const {
    if (now().kind == Token::Kind::End) throw Incomplete("the command is not complete");
    throw SyntaxError(now().kind == Token::Kind::Newline ? "the line ends too early"
                                                         : fmt::format("'{}' is not expected here", now().text));
  }

  void skip_newlines() {
    while (now().kind == Token::Kind::Newline) take();
  }

  void expect_word(std::string_view text) {
    if (!is_word(text)) unexpected();
    take();
  }

  bool take_operator(std::string_view op) {
    if (!now().is(op)) return false;
    take();
    return true;
  }

  bool list_ends() const {
    if (now().kind == Token::Kind::End || now().is(")") || now().is(";;")) return true;
    return now().kind == Token::Kind::Word &&
           std::find(kClosing.begin(), kClosing.end() - 1, now().text) != kClosing.end() - 1;
  }

  List parse_list() {
    List list;
    for (skip_newlines(); !list_ends(); skip_newlines()) {
      list.push_back(parse_and_or());
      end_and_or(list.back());
    }
    return list;
  }

  void end_and_or(AndOr& and_or) {
    if (take_operator("&"))
      and_or.background = true;
    else if (!take_operator(";") && now().kind != Token::Kind::Newline && !list_ends())
      unexpected();
  }

  // The word that a command begins with, if it is an alias, and what that begins with.
  void expand_alias() {
    while (now().kind == Token::Kind::Word) {
      const Token word = now();
      const auto alias = aliases_->find(word.text);
      const bool within = std::find(word.aliases.begin(), word.aliases.end(), word.text) != word.aliases.end();
      if (alias == aliases_->end() || within) return;
      std::vector<Token> tokens = tokenize(alias->second);
      tokens.pop_back();  // the end
      const bool blank = !alias->second.empty() && (alias->second.back() == ' ' || alias->second.back() == '\t');
      if (tokens.empty()) tokens.push_back({.kind = Token::Kind::Word, .text = ":"});
      for (Token& token : tokens) {
        token.begin = word.begin, token.end = word.end;
        token.aliases = word.aliases;
        token.aliases.push_back(word.text);
      }
      tokens.back().next_too = blank || word.next_too;
      const auto place = tokens_.erase(tokens_.begin() + static_cast<std::ptrdiff_t>(at_));
      tokens_.insert(place, tokens.begin(), tokens.end());
    }
  }

  // A body, which has a command at least.
  List parse_body() {
    List list = parse_list();
    if (list.empty()) unexpected();
    return list;
  }

  std::string text_since(std::size_t begin) const {
    return std::string(script_.substr(begin, tokens_[at_ - 1].end - begin));
  }

  AndOr parse_and_or() {
    AndOr out;
    const std::size_t begin = now().begin;
    auto when = AndOr::When::Always;
    for (;;) {
      out.parts.push_back({when, parse_pipeline()});
      if (take_operator("&&"))
        when = AndOr::When::Succeeded;
      else if (take_operator("||"))
        when = AndOr::When::Failed;
      else
        break;
      skip_newlines();
    }
    out.text = text_since(begin);
    return out;
  }

  Pipeline parse_pipeline() {
    Pipeline out;
    const std::size_t begin = now().begin;
    expand_alias();
    while (is_word("!")) {
      take();
      out.negated = !out.negated;
      expand_alias();
    }
    for (;;) {
      expand_alias();
      out.commands.push_back(parse_command());
      const bool both = now().is("|&");
      if (!both && !now().is("|")) break;
      if (both) out.commands.back().redirections.push_back({Redirection::Kind::Duplicate, 2, "1"});
      take();
      skip_newlines();
    }
    out.text = text_since(begin);
    return out;
  }

  Command parse_command() {
    if (++depth_ > kDeepest) throw SyntaxError("commands within each other too deep");
    Command command = parse_command_within();
    --depth_;
    return command;
  }

  Command parse_command_within() {
    Command command;
    if (now().is("(")) {
      take();
      command.kind = Command::Kind::Subshell;
      command.parts.push_back(parse_body());
      if (!take_operator(")")) unexpected();
    } else if (is_word("{")) {
      take();
      command.kind = Command::Kind::Group;
      command.parts.push_back(parse_body());
      expect_word("}");
    } else if (is_word("if")) {
      parse_if(command);
    } else if (is_word("while") || is_word("until")) {
      command.kind = take().text == "while" ? Command::Kind::While : Command::Kind::Until;
      command.parts.push_back(parse_body());
      command.parts.push_back(parse_do());
    } else if (is_word("for")) {
      parse_for(command);
    } else if (is_word("case")) {
      parse_case(command);
    } else {
      parse_simple(command);
      return command;
    }
    while (is_redirection(now())) parse_redirection(command);
    return command;
  }

  List parse_do() {
    expect_word("do");
    List body = parse_body();
    expect_word("done");
    return body;
  }

  void parse_if(Command& command) {
    command.kind = Command::Kind::If;
    do {
      take();  // if or elif
      command.parts.push_back(parse_body());
      expect_word("then");
      command.parts.push_back(parse_body());
    } while (is_word("elif"));
    if (is_word("else")) {
      take();
      command.parts.push_back(parse_body());
    }
    expect_word("fi");
  }

  void parse_for(Command& command) {
    command.kind = Command::Kind::For;
    take();
    if (now().kind != Token::Kind::Word || !is_name(now().text)) unexpected();
    command.name = take().text;
    skip_newlines();
    command.all_parameters = !is_word("in");
    if (!command.all_parameters) {
      take();
      while (now().kind == Token::Kind::Word) command.words.push_back(take().text);
    }
    if (!take_operator(";") && now().kind != Token::Kind::Newline && !command.all_parameters) unexpected();
    skip_newlines();
    command.parts.push_back(parse_do());
  }

  void parse_case(Command& command) {
    command.kind = Command::Kind::Case;
    take();
    if (now().kind != Token::Kind::Word) unexpected();
    command.words.push_back(take().text);
    skip_newlines();
    expect_word("in");
    for (skip_newlines(); !is_word("esac"); skip_newlines()) {
      take_operator("(");
      std::vector<std::string> patterns;
      do {
        if (now().kind != Token::Kind::Word) unexpected();
        patterns.push_back(take().text);
      } while (take_operator("|"));
      if (!take_operator(")")) unexpected();
      command.patterns.push_back(std::move(patterns));
      command.parts.push_back(parse_list());
      if (!take_operator(";;") && !is_word("esac")) unexpected();
    }
    take();
  }

  void parse_simple(Command& command) {
    if (list_ends()) unexpected();
    const std::size_t begin = at_;
    for (;;) {
      const bool after_alias = at_ > 0 && tokens_[at_ - 1].next_too;
      if ((command.words.empty() && at_ > begin) || after_alias) expand_alias();
      if (is_redirection(now())) {
        parse_redirection(command);
      } else if (now().kind != Token::Kind::Word) {
        break;
      } else if (command.words.empty() && !assignment_name(now().text).empty()) {
        command.assignments.push_back(take().text);
      } else {
        command.words.push_back(take().text);
      }
    }
    const bool alone = command.words.size() == 1 && command.assignments.empty() && command.redirections.empty();
    if (now().is("(") && alone) return parse_function(command);
    if (command.words.empty() && command.assignments.empty() && command.redirections.empty()) unexpected();
  }

  void parse_function(Command& command) {
    if (!is_name(command.words[0])) unexpected();
    take();
    if (!take_operator(")")) unexpected();
    skip_newlines();
    command.kind = Command::Kind::Function;
    command.name = std::move(command.words[0]);
    command.words.clear();
    const std::size_t begin = now().begin;
    Pipeline body;
    body.commands.push_back(parse_command());
    body.text = text_since(begin);
    AndOr only;
    only.text = body.text;
    only.parts.push_back({AndOr::When::Always, std::move(body)});
    command.parts.push_back({std::move(only)});
  }

  void parse_redirection(Command& command) {
    using Kind = Redirection::Kind;
    const Token op = take();
    if (now().kind != Token::Kind::Word) unexpected();
    std::string word = take().text;
    const int fd = op.fd >= 0 ? op.fd : op.text[0] == '<' ? 0 : 1;
    Redirection out{Kind::Read, fd, std::move(word)};
    if (op.text == "<<" || op.text == "<<-") {
      out = {Kind::Document, fd, op.body, op.body_is_plain};
    } else if (op.text == "<<<") {
      throw SyntaxError("<<< is not supported; use a here-document (<<)");
    } else if (op.text == ">" || op.text == ">|") {
      out.kind = Kind::Write;
    } else if (op.text == ">>") {
      out.kind = Kind::Append;
    } else if (op.text == "<>") {
      out.kind = Kind::ReadWrite;
    } else if (op.text == "&>") {
      out.kind = Kind::Both;
    } else if (op.text == "&>>") {
      out.kind = Kind::BothAppend;
    } else if (op.text != "<") {
      out.kind = Kind::Duplicate;
    }
    command.redirections.push_back(std::move(out));
  }

  std::string_view script_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  const Aliases* aliases_ = nullptr;
};

}  // namespace

List parse(std::string_view script, const Aliases& aliases) { return Parser(script).run(aliases); }

class Script::Impl {
 public:
  explicit Impl(std::string_view text) : parser_(text) {}
  Parser& parser() { return parser_; }

 private:
  Parser parser_;
};

Script::Script(std::string_view text) : impl_(std::make_unique<Impl>(text)) {}

Script::~Script() = default;

std::optional<List> Script::next(const Aliases& aliases) { return impl_->parser().next_line(aliases); }

}  // namespace drover::shell
