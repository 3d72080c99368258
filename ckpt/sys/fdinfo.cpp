#include "ckpt/sys/fdinfo.h"

#include "ckpt/sys/text.h"

namespace drover {

// "(12, 345)" in seconds and nanoseconds
static std::int64_t parse_timer_value(std::string_view text) {
  std::int64_t part[2] = {0, 0};
  const auto open = text.find('('), comma = text.find(','), close = text.find(')');
  if (open == std::string_view::npos || comma == std::string_view::npos || close == std::string_view::npos) return 0;
  part[0] = to_signed(text.substr(open + 1, comma - open - 1)).value_or(0);
  auto rest = text.substr(comma + 1, close - comma - 1);
  part[1] = to_signed(next_word(rest)).value_or(0);
  return part[0] * 1'000'000'000 + part[1];
}

// "tfd:        5 events:       19 data:                5  pos:0 ino:8e1 sdev:e"
static EpollTarget parse_epoll_target(std::string_view rest) {
  EpollTarget target;
  target.fd = static_cast<int>(to_signed(next_word(rest)).value_or(-1));
  for (auto key = next_word(rest); !key.empty(); key = next_word(rest)) {
    if (key == "events:")
      target.events = static_cast<std::uint32_t>(to_number(next_word(rest), 16).value_or(0));
    else if (key == "data:")
      target.data = to_number(next_word(rest), 16).value_or(0);
    else if (key.substr(0, 4) == "ino:")
      target.inode = to_number(key.substr(4), 16).value_or(0);
  }
  return target;
}

// "1: POSIX  ADVISORY  WRITE 4711 fe:00:1234 100 199"; somebody who waits for it has "->" before the kind.
static void parse_lock(std::string_view rest, std::vector<FileLock>& locks) {
  next_word(rest);  // its number
  FileLock lock;
  const auto kind = next_word(rest);
  if (kind == "->") return;
  if (kind == "POSIX")
    lock.kind = LockKind::Posix;
  else if (kind == "OFDLCK")
    lock.kind = LockKind::OpenFile;
  else if (kind != "FLOCK")
    lock.kind = LockKind::Lease;
  next_word(rest);  // ADVISORY
  lock.write = next_word(rest) == "WRITE";
  lock.owner = static_cast<pid_t>(to_signed(next_word(rest)).value_or(0));
  next_word(rest);  // which file
  lock.start = to_signed(next_word(rest)).value_or(0);
  if (const auto last = to_signed(next_word(rest))) lock.length = *last - lock.start + 1;
  locks.push_back(lock);
}

// "wd:1 ino:3c51a sdev:fe00000 mask:2 ignored_mask:0 ..."
static InotifyWatch parse_watch(std::string_view rest) {
  InotifyWatch watch;
  for (auto word = next_word(rest); !word.empty(); word = next_word(rest)) {
    const auto colon = word.find(':');
    if (colon == std::string_view::npos) continue;
    const auto key = word.substr(0, colon), value = word.substr(colon + 1);
    if (key == "wd")
      watch.descriptor = static_cast<int>(to_signed(value).value_or(0));
    else if (key == "ino")
      watch.inode = to_number(value, 16).value_or(0);
    else if (key == "sdev")
      watch.device = static_cast<std::uint32_t>(to_number(value, 16).value_or(0));
    else if (key == "mask")
      watch.mask = static_cast<std::uint32_t>(to_number(value, 16).value_or(0));
  }
  return watch;
}

FdInfo parse_fdinfo(std::string_view text) {
  FdInfo info;
  for (std::string_view line; next_line(text, line);) {
    std::string_view rest = line;
    const auto key = next_word(rest);
    if (key == "pos:")
      info.position = to_signed(next_word(rest)).value_or(0);
    else if (key == "flags:")
      info.flags = static_cast<int>(to_number(next_word(rest), 8).value_or(0));
    else if (key == "lock:")
      parse_lock(rest, info.locks);
    else if (key == "eventfd-count:")
      info.eventfd_count = to_number(next_word(rest), 16);
    else if (key == "eventfd-semaphore:")
      info.eventfd_semaphore = next_word(rest) == "1";
    else if (key == "sigmask:")
      info.signal_mask = to_number(next_word(rest), 16);
    else if (key == "tfd:")
      info.epoll_targets.push_back(parse_epoll_target(rest));
    else if (key == "Pid:")
      info.pidfd_target = static_cast<pid_t>(to_signed(next_word(rest)).value_or(-1));
    else if (key == "scm_fds:")
      info.rights_in_flight = to_number(next_word(rest)).value_or(0);
    else if (key == "inotify")
      info.watches.push_back(parse_watch(rest));
    else if (key == "clockid:")
      info.clock_id = static_cast<int>(to_signed(next_word(rest)).value_or(-1));
    else if (key == "ticks:")
      info.timer_ticks = to_number(next_word(rest)).value_or(0);
    else if (key == "settime") {
      next_word(rest);  // "flags:"
      info.timer_settime_flags = static_cast<int>(to_number(next_word(rest), 8).value_or(0));
    } else if (key == "it_value:")
      info.timer_value_ns = parse_timer_value(rest);
    else if (key == "it_interval:")
      info.timer_interval_ns = parse_timer_value(rest);
  }
  return info;
}

}  // namespace drover
