// The shell's language: what lines mean, and what their words become.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "launcher/shell/expand.h"
#include "launcher/shell/lexer.h"
#include "launcher/shell/syntax.h"

namespace drover::shell {
namespace {

class FakeEnvironment : public Environment {
 public:
  std::optional<std::string> value(const std::string& name) const override {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  }
  void assign(const std::string& name, const std::string& value) override { variables[name] = value; }
  const std::vector<std::string>& parameters() const override { return positional; }
  std::optional<std::string> special(char name) const override {
    return name == '?' ? std::optional<std::string>("3") : std::nullopt;
  }
  std::string output_of(const std::string& script) override { return "<" + script + ">\n\n"; }

  std::map<std::string, std::string> variables = {
      {"a", "one"}, {"b", "two  words "}, {"empty", ""}, {"star", "*"}, {"HOME", "/home/u"}};
  std::vector<std::string> positional = {"p 1", "p2"};
};

using Words = std::vector<std::string>;

Words expand(const std::string& word) {
  FakeEnvironment environment;
  return expand_words({word}, environment);
}

TEST(ShellExpansion, QuotesAndVariables) {
  const std::vector<std::pair<std::string, Words>> table = {
      {"plain", {"plain"}},
      {"'a b'\\ c\"d e\"", {"a b cd e"}},
      {"$a-${a}x", {"one-onex"}},
      {"'$a'", {"$a"}},
      {"\"$a\\$a\\x\"", {"one$a\\x"}},
      {"$b", {"two", "words"}},
      {"x$b", {"xtwo", "words"}},
      {"${b}x", {"two", "words", "x"}},
      {"\"$b\"", {"two  words "}},
      {"$none", {}},
      {"$empty", {}},
      {"\"$none\"", {""}},
      {"''", {""}},
      {"$", {"$"}},
      {"a$", {"a$"}},
      {"$?", {"3"}},
      {"$#", {"2"}},
      {"$1", {"p", "1"}},
      {"\"$1\"", {"p 1"}},
      {"$@", {"p", "1", "p2"}},
      {"\"$@\"", {"p 1", "p2"}},
      {"\"x$@y\"", {"xp 1", "p2y"}},
      {"\"$*\"", {"p 1 p2"}},
      {"~", {"/home/u"}},
      {"~/x", {"/home/u/x"}},
      {"x~", {"x~"}},
      {"'~'", {"~"}},
      {"\"~\"", {"~"}},
      {"\"$star\"", {"*"}},
      {"\\*", {"*"}},
  };
  for (const auto& [word, wanted] : table) EXPECT_EQ(expand(word), wanted) << word;
}

TEST(ShellExpansion, Braces) {
  const std::vector<std::pair<std::string, Words>> table = {
      {"${none:-x y}", {"x", "y"}},
      {"\"${none:-x y}\"", {"x y"}},
      {"${none:-\"x y\"}", {"x y"}},
      {"${empty:-x}", {"x"}},
      {"${empty-x}", {}},
      {"${a:+set}", {"set"}},
      {"${none:+set}", {}},
      {"${none:=new}$none", {"newnew"}},
      {"${#a}", {"3"}},
      {"${none:-${a}}", {"one"}},
      {"${none:-'}'}", {"}"}},
      {"${a%e}", {"on"}},
      {"${a#?}", {"ne"}},
  };
  for (const auto& [word, wanted] : table) EXPECT_EQ(expand(word), wanted) << word;
  FakeEnvironment environment;
  environment.variables["path"] = "/x/y.tar.gz";
  const Words words = {"${path##*/}", "${path#*/}", "${path%.*}", "${path%%.*}", "${path%'*'}"};
  EXPECT_EQ(expand_words(words, environment), (Words{"y.tar.gz", "x/y.tar.gz", "/x/y.tar", "/x/y", "/x/y.tar.gz"}));
  EXPECT_THROW(expand("${none:?why}"), ExpansionError);
  EXPECT_THROW(expand("${}"), SyntaxError);
  EXPECT_THROW(expand("${a/x/y}"), SyntaxError);
}

TEST(ShellExpansion, Commands) {
  EXPECT_EQ(expand("x$(ls 'a)' | wc)y"), (Words{"x<ls", "'a)'", "|", "wc>y"}));
  EXPECT_EQ(expand("\"$(echo \"a b\")\""), (Words{"<echo \"a b\">"}));
  EXPECT_EQ(expand("`date \\`x\\``"), (Words{"<date", "`x`>"}));
  EXPECT_EQ(expand("$(a $(b) c)"), (Words{"<a", "$(b)", "c>"}));
}

TEST(ShellExpansion, Arithmetic) {
  FakeEnvironment environment;
  environment.variables["n"] = "7";
  const std::vector<std::pair<std::string, long>> table = {
      {"1+2*3", 7},
      {"(1+2)*3", 9},
      {"n", 7},
      {"$((n+1))", 8},
      {"n%4", 3},
      {"-n+1", -6},
      {"2<3 && 3<2", 0},
      {"2<3||3<2", 1},
      {"!n", 0},
      {"1<<4|1", 17},
      {"0x10", 16},
      {"n==7?10:20", 10},
      {"", 0},
      {"none", 0},
      {"m = 5", 5},
      {"10-2-3", 5},
      {"7/2", 3},
      {"-7/2", -3},
      {"9223372036854775807+1", std::numeric_limits<long>::min()},
  };
  for (const auto& [text, wanted] : table)
    EXPECT_EQ(expand_string("$((" + text + "))", environment), std::to_string(wanted)) << text;
  EXPECT_EQ(environment.variables["m"], "5");
  for (const char* bad : {"1+", "1 2", "(1", "1/0", "a b", "08x"})
    EXPECT_THROW((void)evaluate(bad, environment), ExpansionError) << bad;
}

TEST(ShellExpansion, NamesOfFiles) {
  const auto directory = std::filesystem::temp_directory_path() / ("drover-shell-" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  for (const char* name : {"x1.c", "x2.c", "y z"}) std::ofstream(directory / name) << "";
  FakeEnvironment environment;
  environment.variables["d"] = directory.string();
  const std::string d = directory.string();
  EXPECT_EQ(expand_words({"$d/x*.c"}, environment), (Words{d + "/x1.c", d + "/x2.c"}));
  EXPECT_EQ(expand_words({"\"$d\"/?' 'z"}, environment), (Words{d + "/y z"}));
  EXPECT_EQ(expand_words({"$d/'x*'.c"}, environment), (Words{d + "/x*.c"}));
  EXPECT_EQ(expand_words({"$d/none*"}, environment), (Words{d + "/none*"}));
  environment.variables["p"] = d + "/x[2].c";
  EXPECT_EQ(expand_words({"$p"}, environment), (Words{d + "/x2.c"}));
  EXPECT_EQ(expand_words({"\"$p\""}, environment), (Words{d + "/x[2].c"}));
  EXPECT_EQ(expand_string("$d/x*.c", environment), d + "/x*.c");
  std::filesystem::remove_all(directory);
}

TEST(ShellExpansion, Documents) {
  FakeEnvironment environment;
  EXPECT_EQ(expand_document("$a 'x' \"$b\" \\$a \\\" $(ls)\n", environment), "one 'x' \"two  words \" $a \\\" <ls>\n");
}

// A tree as text: simple commands as [words], and what joins them.
std::string text(const List& list);

std::string text(const Command& command) {
  static const char* const names[] = {"", "subshell", "group", "if", "while", "until", "for", "case", "function"};
  std::string out = std::string(names[static_cast<int>(command.kind)]) + "[";
  if (!command.name.empty()) out += command.name + ":";
  for (const auto& assignment : command.assignments) out += "{" + assignment + "}";
  for (const auto& word : command.words) out += (out.back() == '[' || out.back() == ':' ? "" : " ") + word;
  for (const auto& part : command.parts) out += "(" + text(part) + ")";
  for (const auto& r : command.redirections)
    out += " " + std::to_string(r.fd) + "rwa+&dBA"[static_cast<std::size_t>(r.kind)] + r.word;
  return out + "]";
}

std::string text(const List& list) {
  std::string out;
  for (const auto& and_or : list) {
    for (const auto& part : and_or.parts) {
      out += part.when == AndOr::When::Succeeded ? "&&" : part.when == AndOr::When::Failed ? "||" : "";
      if (part.pipeline.negated) out += "!";
      for (std::size_t i = 0; i < part.pipeline.commands.size(); ++i)
        out += (i > 0 ? "|" : "") + text(part.pipeline.commands[i]);
    }
    out += and_or.background ? "&" : ";";
  }
  return out;
}

TEST(ShellParser, Trees) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"", ""},
      {"  # nothing\n\n", ""},
      {"a b 'c d'", "[a b 'c d'];"},
      {"a|b | c", "[a]|[b]|[c];"},
      {"a && b || c; d & e", "[a]&&[b]||[c];[d]&[e];"},
      {"a &&\n\n b |\n c", "[a]&&[b]|[c];"},
      {"! a | b", "![a]|[b];"},
      {"A=1 B='x y' c D=2", "[{A=1}{B='x y'} c D=2];"},
      {"a <in >out 2>>err 2>&1 3<>rw >&-", "[a 0rin 1wout 2aerr 2&1 3+rw 1&-];"},
      {"a &> both &>> more", "[a 1Bboth 1Amore];"},
      {"a 2", "[a 2];"},
      {"a2>x", "[a2 1wx];"},
      {"a |& b", "[a 2&1]|[b];"},
      {"echo a#b # c", "[echo a#b];"},
      {"a \\\n b", "[a b];"},
      {"(a; b) | { c; d; } >x", "subshell[([a];[b];)]|group[([c];[d];) 1wx];"},
      {"if a; then b; elif c; then d; else e; fi", "if[([a];)([b];)([c];)([d];)([e];)];"},
      {"while a; do b; done; until a\ndo b\ndone", "while[([a];)([b];)];until[([a];)([b];)];"},
      {"for x in 1 2; do echo $x; done", "for[x:1 2([echo $x];)];"},
      {"for x do a; done", "for[x:([a];)];"},
      {"case $x in a|b) c ;; *) d; esac", "case[$x([c];)([d];)];"},
      {"f() { a; }", "function[f:(group[([a];)];)];"},
      {"cat <<E <<'F'\none $x\nE\ntwo\nF\nb", "[cat 0done $x\n 0dtwo\n];[b];"},
      {"cat <<-E\n\tone\n\tE\n", "[cat 0done\n];"},
      {"echo \"a;b\" 'c|d' e\\;f $(g; h) `i | j`", "[echo \"a;b\" 'c|d' e\\;f $(g; h) `i | j`];"},
      {"echo if then done", "[echo if then done];"},
  };
  for (const auto& [script, wanted] : table) EXPECT_EQ(text(parse(script)), wanted) << script;
}

TEST(ShellParser, RemembersWhatWasTyped) {
  const List list = parse("a 'b c' |  d && e >x & f");
  EXPECT_EQ(list[0].text, "a 'b c' |  d && e >x");
  EXPECT_EQ(list[0].parts[0].pipeline.text, "a 'b c' |  d");
  EXPECT_EQ(list[1].text, "f");
}

TEST(ShellParser, WhatIsNotComplete) {
  for (const char* script : {"a |", "a &&", "'a", "\"a", "`a", "$(a", "${a", "if a", "if a; then b", "while a; do",
                             "(a", "{ a;", "cat <<E\nx\n", "a \\", "case x in", "f() ", "for x in a b;", "!"})
    EXPECT_THROW((void)parse(script), Incomplete) << script;
}

TEST(ShellParser, WhatIsWrong) {
  for (const char* script : {"| a", "a || || b", "; a", "a ;; b", ")", "a )", "done", "fi", "a > | b", "if; then b; fi",
                             "&", "a & & b", "for 1 in a; do b; done", "a <<< b", "}", "> ;"}) {
    try {
      (void)parse(script);
      FAIL() << script;
    } catch (const Incomplete& error) {
      FAIL() << script << ": " << error.what();
    } catch (const SyntaxError&) {
    }
  }
}

// Whatever is typed is a tree or an error, never a crash.
TEST(ShellParser, AnyBytes) {
  const std::string alphabet = "ab$(){}'\"`\\|&;<> \n#!=*~0123if do";
  FakeEnvironment environment;
  unsigned seed = 1;
  for (int round = 0; round < 20000; ++round) {
    std::string script;
    for (unsigned length = (seed = seed * 1103515245 + 12345) >> 16 & 31; length > 0; --length)
      script += alphabet[((seed = seed * 1103515245 + 12345) >> 16) % alphabet.size()];
    try {
      for (const auto& and_or : parse(script))
        for (const auto& part : and_or.parts)
          for (const auto& command : part.pipeline.commands) (void)expand_words(command.words, environment);
    } catch (const SyntaxError&) {
    } catch (const ExpansionError&) {
    }
  }
}

}  // namespace
}  // namespace drover::shell
