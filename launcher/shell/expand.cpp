#include "launcher/shell/expand.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <glob.h>
#include <pwd.h>

#include <cstring>
#include <memory>

namespace drover::shell {

namespace {

constexpr std::string_view kPatternCharacters = "*?[]\\-!^";

// Collects the fields of one word.
class Fields {
 public:
  Fields(bool split, std::string separators) : split_(split), separators_(std::move(separators)) {}

  void add_quoted(std::string_view text) {
    begun_ = true;
    for (const char c : text) {
      text_ += c;
      if (kPatternCharacters.find(c) != std::string_view::npos) pattern_ += '\\';
      pattern_ += c;
    }
  }

  void add_typed(char c) {
    begun_ = true;
    text_ += c;
    pattern_ += c;
    if (c == '*' || c == '?' || c == '[') is_pattern_ = true;
  }

  // The value of something that was not quoted.
  void add_value(std::string_view value) {
    for (const char c : value) {
      if (!split_ || separators_.find(c) == std::string::npos) {
        if (c == '\\') {
          add_quoted("\\");
        } else {
          add_typed(c);
        }
      } else if (std::strchr(" \t\n", c) != nullptr) {
        end_if_begun();
      } else {
        begun_ = true;  // two of them have an empty field between them
        end_if_begun();
      }
    }
  }

  void end_if_begun() {
    if (!begun_) return;
    done_.push_back({std::move(text_), std::move(pattern_), is_pattern_});
    text_.clear(), pattern_.clear();
    begun_ = is_pattern_ = false;
  }

  struct Field {
    std::string text, pattern;
    bool is_pattern;
  };
  std::vector<Field> take() {
    end_if_begun();
    return std::move(done_);
  }

 private:
  bool split_, begun_ = false, is_pattern_ = false;
  std::string separators_, text_, pattern_;
  std::vector<Field> done_;
};

class Expander {
 public:
  Expander(Environment& environment, bool split)
      : environment_(environment), split_(split), fields_(split, environment.value("IFS").value_or(" \t\n")) {}

  void add_word(std::string_view word) {
    std::size_t at = add_home(word);
    while (at < word.size()) at = add_part(word, at);
  }

  // Of a here-document, and between double quotes, where a backslash means something before fewer characters.
  void add_double_quoted(std::string_view text, bool document = false) {
    fields_.add_quoted("");
    for (std::size_t i = 0; i < text.size();) {
      if (text[i] == '\\' && i + 1 < text.size()) {
        const char next = text[i + 1];
        const bool means = std::strchr("$`\\", next) != nullptr || (next == '"' && !document);
        if (means || next != '\n') fields_.add_quoted(means ? text.substr(i + 1, 1) : text.substr(i, 2));
        i += 2;
      } else if (text[i] == '$' || text[i] == '`') {
        i = add_substitution(text, i, true);
      } else {
        fields_.add_quoted(text.substr(i++, 1));
      }
    }
  }

  std::vector<Fields::Field> take() { return fields_.take(); }

 private:
  // ~ and ~user at the beginning of a word.
  std::size_t add_home(std::string_view word) {
    if (word.empty() || word[0] != '~') return 0;
    const std::size_t end = std::min(word.find('/'), word.size());
    const std::string user(word.substr(1, end - 1));
    if (user.find_first_of("'\"\\$`") != std::string::npos) return 0;
    std::optional<std::string> home;
    if (user.empty()) home = environment_.value("HOME");
    const passwd* entry = home ? nullptr : user.empty() ? ::getpwuid(::getuid()) : ::getpwnam(user.c_str());
    if (entry != nullptr) home = entry->pw_dir;
    if (!home) return 0;
    fields_.add_quoted(*home);
    return end;
  }

  std::size_t add_part(std::string_view word, std::size_t at) {
    const std::size_t end = end_of_part(word, at);
    switch (word[at]) {
      case '\'':
        fields_.add_quoted(word.substr(at + 1, end - at - 2));
        break;
      case '"':
        if (word.substr(at, end - at) == "\"$@\"" && environment_.parameters().empty()) break;  // no field at all
        add_double_quoted(word.substr(at + 1, end - at - 2));
        break;
      case '\\':
        fields_.add_quoted(word.substr(at + 1, 1));
        break;
      case '$':
      case '`':
        return add_substitution(word, at, false);
      default:
        fields_.add_typed(word[at]);
    }
    return end;
  }

  void add_value(std::string_view value, bool quoted) {
    if (quoted)
      fields_.add_quoted(value);
    else
      fields_.add_value(value);
  }

  std::size_t add_substitution(std::string_view text, std::size_t at, bool quoted) {
    if (text[at] == '`') {
      const std::size_t end = end_of_backquotes(text, at);
      std::string script;
      for (std::size_t i = at + 1; i < end - 1; ++i) {
        if (text[i] == '\\' && i + 2 < end && std::strchr("$`\\", text[i + 1]) != nullptr) ++i;
        script += text[i];
      }
      add_value(output(script), quoted);
      return end;
    }
    const std::size_t end = end_of_dollar(text, at);
    const std::string_view inner = text.substr(at + 1, end - at - 1);
    if (inner.empty())
      fields_.add_quoted("$");
    else if (inner.size() >= 4 && inner.compare(0, 2, "((") == 0 && inner.compare(inner.size() - 2, 2, "))") == 0)
      add_value(arithmetic(inner.substr(2, inner.size() - 4)), quoted);
    else if (inner[0] == '(')
      add_value(output(std::string(inner.substr(1, inner.size() - 2))), quoted);
    else if (inner[0] == '{')
      add_braces(inner.substr(1, inner.size() - 2), quoted);
    else
      add_parameter(std::string(inner), quoted);
    return end;
  }

  std::string arithmetic(std::string_view text) {
    Expander inner(environment_, false);
    inner.add_double_quoted(text);
    const auto fields = inner.take();
    return fmt::format("{}", evaluate(fields.empty() ? "" : fields[0].text, environment_));
  }

  std::string output(const std::string& script) {
    std::string out = environment_.output_of(script);
    while (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
  }

  std::optional<std::string> lookup(const std::string& name) const {
    const auto& parameters = environment_.parameters();
    if (name == "#") return fmt::format("{}", parameters.size());
    if (name == "@" || name == "*") {
      if (parameters.empty()) return std::nullopt;
      std::string all;
      for (const auto& parameter : parameters) all += (all.empty() ? "" : " ") + parameter;
      return all;
    }
    if (is_name(name)) return environment_.value(name);
    if (name.find_first_not_of("0123456789") == std::string::npos && name.size() < 6 && name != "0") {
      const auto index = static_cast<std::size_t>(std::stoi(name));
      return index <= parameters.size() ? std::optional(parameters[index - 1]) : std::nullopt;
    }
    return name.size() == 1 ? environment_.special(name[0]) : std::nullopt;
  }

  void add_parameter(const std::string& name, bool quoted) {
    if (name == "@" || (name == "*" && !quoted)) {
      const auto& parameters = environment_.parameters();
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (i > 0) split_ ? fields_.end_if_begun() : add_value(" ", quoted);
        add_value(parameters[i], quoted);
      }
      return;
    }
    if (const auto value = lookup(name)) add_value(*value, quoted);
  }

  // What stands within ${...}
  void add_braces(std::string_view inner, bool quoted) {
    if (inner.size() > 1 && inner[0] == '#' && std::strchr("-=?+%#:", inner[1]) == nullptr)
      return add_value(fmt::format("{}", lookup(std::string(inner.substr(1))).value_or("").size()), quoted);
    std::size_t end = 0;
    if (!inner.empty() && is_name_character(inner[0])) {
      const bool digits = !is_name_start(inner[0]);
      while (end < inner.size() &&
             (digits ? std::isdigit(static_cast<unsigned char>(inner[end])) != 0 : is_name_character(inner[end])))
        ++end;
    } else if (!inner.empty() && std::strchr("?$!#@*-", inner[0]) != nullptr) {
      end = 1;
    }
    const std::string name(inner.substr(0, end));
    if (name.empty()) throw SyntaxError(fmt::format("${{{}}}: no such expansion", inner));
    std::string_view rest = inner.substr(end);
    if (rest.empty()) return add_parameter(name, quoted);
    if (rest[0] == '%' || rest[0] == '#') return add_value(trimmed(lookup(name).value_or(""), rest), quoted);
    const bool colon = rest[0] == ':';
    if (colon) rest.remove_prefix(1);
    if (rest.empty() || std::strchr("-=?+", rest[0]) == nullptr)
      throw SyntaxError(fmt::format("${{{}}}: no such expansion; there are :- := :? :+ % %% # ##", inner));
    add_default(name, rest[0], rest.substr(1), colon, quoted);
  }

  void add_default(const std::string& name, char how, std::string_view word, bool colon, bool quoted) {
    const auto value = lookup(name);
    const bool there = value && !(colon && value->empty());
    if (how == '+') {
      if (there) add_inner_word(word, quoted);
    } else if (there) {
      add_parameter(name, quoted);
    } else if (how == '-') {
      add_inner_word(word, quoted);
    } else if (how == '=') {
      if (!is_name(name)) throw ExpansionError(fmt::format("${}: can't be assigned to", name));
      environment_.assign(name, expand_string(word, environment_));
      add_parameter(name, quoted);
    } else {
      const std::string why = expand_string(word, environment_);
      throw ExpansionError(fmt::format("{}: {}", name, why.empty() ? "not set" : why));
    }
  }

  void add_inner_word(std::string_view word, bool quoted) {
    if (quoted) return add_double_quoted(word);
    std::size_t at = add_home(word);
    while (at < word.size()) {
      const char c = word[at];
      if (c == ' ' || c == '\t' || c == '\n') {
        add_value(word.substr(at++, 1), false);
      } else {
        at = add_part(word, at);
      }
    }
  }

  // ${NAME%pattern}, ${NAME%%pattern}, ${NAME#pattern}, ${NAME##pattern}
  std::string trimmed(const std::string& value, std::string_view how) {
    const bool longest = how.size() > 1 && how[1] == how[0], at_end = how[0] == '%';
    const std::string pattern = expand_pattern(how.substr(longest ? 2 : 1), environment_);
    for (std::size_t i = 0; i <= value.size(); ++i) {
      const std::size_t length = longest ? value.size() - i : i;  // of what goes
      const std::string part = at_end ? value.substr(value.size() - length) : value.substr(0, length);
      if (::fnmatch(pattern.c_str(), part.c_str(), 0) == 0)
        return at_end ? value.substr(0, value.size() - length) : value.substr(length);
    }
    return value;
  }

  Environment& environment_;
  bool split_;
  Fields fields_;
};

void add_names(const Fields::Field& field, std::vector<std::string>& out) {
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> freed(&found, ::globfree);
  if (field.is_pattern && ::glob(field.pattern.c_str(), 0, nullptr, &found) == 0)
    out.insert(out.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
  else
    out.push_back(field.text);
}

Fields::Field single(std::string_view word, Environment& environment) {
  Expander expander(environment, false);
  expander.add_word(word);
  auto fields = expander.take();
  return fields.empty() ? Fields::Field{} : std::move(fields[0]);
}

}  // namespace

std::vector<std::string> expand_words(const std::vector<std::string>& words, Environment& environment) {
  std::vector<std::string> out;
  for (const std::string& word : words) {
    Expander expander(environment, true);
    expander.add_word(word);
    for (const auto& field : expander.take()) add_names(field, out);
  }
  return out;
}

std::string expand_string(std::string_view word, Environment& environment) { return single(word, environment).text; }

std::string expand_pattern(std::string_view word, Environment& environment) {
  return single(word, environment).pattern;
}

std::string expand_document(std::string_view text, Environment& environment) {
  Expander expander(environment, false);
  expander.add_double_quoted(text, true);
  const auto fields = expander.take();
  return fields.empty() ? "" : fields[0].text;
}

}  // namespace drover::shell
