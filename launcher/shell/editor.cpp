#include "launcher/shell/editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <filesystem>
#include <fstream>

#include "ckpt/sys/unique_fd.h"
#include "launcher/shell/shell.h"

namespace drover::shell {

namespace {

constexpr int kMostLines = 5000;

volatile std::sig_atomic_t was_resized = 0, was_hung_up = 0;

void note_resize(int) { was_resized = 1; }
void note_hang_up(int) { was_hung_up = 1; }

}  // namespace

struct Editor::State {
  EditLine* line = nullptr;
  History* history = nullptr;
  std::string prompt, file;
  std::vector<std::string> lines;
  Completions known;
  std::string unfinished;
  bool interrupted = false, ended = false, trapped = false;

  int read_byte(char& byte);
  int read_character(wchar_t& character);
  static State& of(EditLine* editline) {
    void* data = nullptr;
    ::el_get(editline, EL_CLIENTDATA, &data);
    return *static_cast<State*>(data);
  }
};

// 1, or 0 at the end, or -1 when Ctrl-C came. Signals are let in only while we wait: none is missed.
int Editor::State::read_byte(char& byte) {
  sigset_t ours, before;
  ::sigfillset(&ours);  // any may have an action
  ::sigprocmask(SIG_BLOCK, &ours, &before);
  int result = -2;
  while (result == -2) {
    if (was_hung_up != 0) {
      result = 0;
    } else if (take_interrupted()) {
      interrupted = true;
      result = -1;
    } else if (Traps::pending() != 0) {
      trapped = true;
      result = -1;
    } else if (was_resized != 0) {
      was_resized = 0;
      ::el_resize(line);
    } else {
      pollfd wait{STDIN_FILENO, POLLIN, 0};
      if (::ppoll(&wait, 1, nullptr, &before) <= 0) continue;
      const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      result = n == 1 ? 1 : 0;
    }
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return result;
}

int Editor::State::read_character(wchar_t& character) {
  std::mbstate_t state{};
  for (;;) {
    char byte = 0;
    const int got = read_byte(byte);
    if (got <= 0) return got;
    const std::size_t length = std::mbrtowc(&character, &byte, 1, &state);
    if (length == static_cast<std::size_t>(-2)) continue;  // there is more of it
    if (length != static_cast<std::size_t>(-1)) return 1;
    state = {};  // a byte that is no character
  }
}

namespace {

unsigned char complete_here(EditLine* line, const Completions& known) {
  const LineInfo* info = ::el_line(line);
  const Completion found = complete({info->buffer, static_cast<std::size_t>(info->cursor - info->buffer)}, known);
  if (!found.insert.empty()) return ::el_insertstr(line, found.insert.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  if (found.possible.empty()) return CC_REFRESH_BEEP;
  winsize size{};
  ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  const std::string text = "\n" + list_possible(found.possible, size.ws_col != 0 ? size.ws_col : 80);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return CC_REDISPLAY;
}

}  // namespace

Editor::Editor(std::string history_file, Completions known) : state_(std::make_unique<State>()) {
  State& state = *state_;
  std::setlocale(LC_CTYPE, "");
  state.file = std::move(history_file);
  state.known = std::move(known);
  HistEvent event;
  state.history = ::history_init();
  ::history(state.history, &event, H_SETSIZE, kMostLines);
  ::history(state.history, &event, H_SETUNIQUE, 1);
  if (std::ifstream file(state.file); file)
    for (std::string text; std::getline(file, text);) state.lines.push_back(text);
  if (state.lines.size() > kMostLines) state.lines.erase(state.lines.begin(), state.lines.end() - kMostLines);
  for (const std::string& text : state.lines) ::history(state.history, &event, H_ENTER, text.c_str());

  state.line = ::el_init("drover", stdin, stdout, stderr);
  ::el_set(state.line, EL_CLIENTDATA, &state);
  ::el_set(
      state.line, EL_PROMPT, +[](EditLine* line) { return State::of(line).prompt.data(); });
  ::el_set(state.line, EL_EDITOR, "emacs");
  ::el_set(state.line, EL_SIGNAL, 0);
  ::el_set(state.line, EL_HIST, ::history, state.history);
  ::el_set(
      state.line, EL_GETCFN, +[](EditLine* line, wchar_t* c) { return State::of(line).read_character(*c); });
  ::el_set(
      state.line, EL_ADDFN, "complete", "complete the name of a command, a file or a variable",
      +[](EditLine* line, int) { return complete_here(line, State::of(line).known); });
  ::el_set(state.line, EL_BIND, "^I", "complete", nullptr);
  ::el_set(state.line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  ::el_source(state.line, nullptr);  // ~/.editrc

  struct sigaction action {};
  action.sa_handler = note_resize;
  ::sigaction(SIGWINCH, &action, nullptr);
  action.sa_handler = note_hang_up;
  for (const int signal : {SIGHUP, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

Editor::~Editor() {
  ::el_end(state_->line);
  ::history_end(state_->history);
}

Editor::Result Editor::read(const std::string& prompt, std::string& line) {
  State& state = *state_;
  state.prompt = prompt;
  state.interrupted = state.trapped = false;
  if (const std::string before = std::exchange(state.unfinished, {}); !before.empty())
    ::el_push(state.line, before.c_str());
  if (was_hung_up != 0) return Result::End;
  ::el_resize(state.line);
  int length = 0;
  const char* text = ::el_gets(state.line, &length);
  if (state.trapped) {
    const LineInfo* info = ::el_line(state.line);
    state.unfinished.assign(info->buffer, info->lastchar);
    ::el_reset(state.line);
    return Result::Trapped;
  }
  if (state.interrupted) {
    ::el_reset(state.line);
    return Result::Interrupted;
  }
  if (text == nullptr || length <= 0) return Result::End;
  line.assign(text, static_cast<std::size_t>(length));
  if (!line.empty() && line.back() == '\n') line.pop_back();
  return Result::Line;
}

void Editor::remember(const std::string& text) {
  HistEvent event;
  ::history(state_->history, &event, H_ENTER, text.c_str());
  if (state_->file.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(state_->file).parent_path(), ignored);
  const UniqueFd file(::open(state_->file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  std::string kept = text;
  std::replace(kept.begin(), kept.end(), '\n', ' ');
  kept += '\n';
  if (file) [[maybe_unused]]
    const ssize_t written = ::write(file.get(), kept.data(), kept.size());
}

std::vector<std::string> Editor::lines() const { return state_->lines; }

bool Editor::hung_up() const { return was_hung_up != 0; }

}  // namespace drover::shell
