#include "launcher/shell/redirect.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace drover::shell {

namespace {

constexpr int kFirstOwn = 10;  // descriptors below are the user's

UniqueFd open_or_throw(const std::string& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (!fd) throw std::runtime_error(fmt::format("{}: {}", path, std::strerror(errno)));
  return fd;
}

UniqueFd document(const std::string& text) {
  UniqueFd fd(::memfd_create("here-document", MFD_CLOEXEC));
  for (std::size_t done = 0; fd && done < text.size();) {
    const ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
    if (n <= 0) fd.reset();
    done += static_cast<std::size_t>(std::max<ssize_t>(n, 0));
  }
  if (!fd || ::lseek(fd.get(), 0, SEEK_SET) < 0)
    throw std::runtime_error(fmt::format("here-document: {}", std::strerror(errno)));
  return fd;
}

}  // namespace

Redirected::~Redirected() {
  for (auto saved = saved_.rbegin(); saved != saved_.rend(); ++saved) {
    if (saved->copy)
      ::dup2(saved->copy.get(), saved->fd);
    else
      ::close(saved->fd);
  }
}

void Redirected::save(int fd) { saved_.push_back({fd, UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwn))}); }

void Redirected::put(int fd, UniqueFd opened) {
  if (opened.get() == fd) {  // it was closed, and is now
    UniqueFd moved(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwn));
    opened = std::move(moved);
  }
  save(fd);
  if (::dup2(opened.get(), fd) < 0) throw std::runtime_error(fmt::format("{}: {}", fd, std::strerror(errno)));
}

void Redirected::apply(const std::vector<Redirection>& redirections, Environment& environment) {
  for (const Redirection& redirection : redirections) apply(redirection, environment);
}

void Redirected::apply(const Redirection& redirection, Environment& environment) {
  using Kind = Redirection::Kind;
  const int fd = redirection.fd;
  if (redirection.kind == Kind::Document)
    return put(fd, document(redirection.plain ? redirection.word : expand_document(redirection.word, environment)));
  const std::string word = expand_string(redirection.word, environment);
  switch (redirection.kind) {
    case Kind::Read:
      return put(fd, open_or_throw(word, O_RDONLY));
    case Kind::Write:
      return put(fd, open_or_throw(word, O_WRONLY | O_CREAT | O_TRUNC));
    case Kind::Append:
      return put(fd, open_or_throw(word, O_WRONLY | O_CREAT | O_APPEND));
    case Kind::ReadWrite:
      return put(fd, open_or_throw(word, O_RDWR | O_CREAT));
    case Kind::Both:
    case Kind::BothAppend:
      put(1, open_or_throw(word, O_WRONLY | O_CREAT | (redirection.kind == Kind::Both ? O_TRUNC : O_APPEND)));
      return put(2, UniqueFd(::fcntl(1, F_DUPFD_CLOEXEC, kFirstOwn)));
    default:
      break;
  }
  if (word == "-") {
    save(fd);
    ::close(fd);
    return;
  }
  if (word.empty() || word.size() > 3 || word.find_first_not_of("0123456789") != std::string::npos)
    throw std::runtime_error(fmt::format("{}: not a descriptor", word));
  UniqueFd copy(::fcntl(std::stoi(word), F_DUPFD_CLOEXEC, kFirstOwn));
  if (!copy) throw std::runtime_error(fmt::format("{}: {}", word, std::strerror(errno)));
  put(fd, std::move(copy));
}

}  // namespace drover::shell
