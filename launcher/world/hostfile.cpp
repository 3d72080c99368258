#include "launcher/world/hostfile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

constexpr int kMostNodesPerHost = 4096;

[[noreturn]] void fail(const std::string& file, int line, const std::string& reason) {
  throw std::runtime_error(fmt::format("{}: line {}: {}", file, line, reason));
}

bool is_host_name(const std::string& name) {
  return name.front() != '-' && name.find_first_not_of(
                                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    ".-_:@") == std::string::npos;
}

void parse_word(const std::string& word, Host& host, const std::string& file, int line) {
  const auto equals = word.find('=');
  const std::string key = word.substr(0, equals), value = equals == std::string::npos ? "" : word.substr(equals + 1);
  if (key != "slots" && key != "max_slots" && key != "max-slots")
    fail(file, line, fmt::format("'{}' is not understood; a line is: HOST slots=NODES", word));
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < 1 || number > kMostNodesPerHost)
    fail(file, line, fmt::format("{} = '{}': must be a number from 1 to {}", key, value, kMostNodesPerHost));
  if (key == "slots") host.nodes = number;
}

}  // namespace

std::vector<Host> parse_hostfile(std::string_view text, const std::string& file) {
  std::vector<Host> hosts;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    Host host;
    if (!(words >> host.name)) continue;
    if (!is_host_name(host.name)) fail(file, number, fmt::format("'{}' is not a host's name", host.name));
    for (std::string word; words >> word;) parse_word(word, host, file, number);
    const auto same = std::find_if(hosts.begin(), hosts.end(), [&](const Host& h) { return h.name == host.name; });
    if (same != hosts.end())
      same->nodes += host.nodes;
    else
      hosts.push_back(host);
  }
  return hosts;
}

std::vector<Host> read_hostfile(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream)
    throw std::runtime_error(fmt::format("hostfile {}: {}; see hostfiles/ for examples", file, error_text(errno)));
  std::ostringstream text;
  text << stream.rdbuf();
  auto hosts = parse_hostfile(text.str(), "hostfile " + file);
  if (hosts.empty()) throw std::runtime_error(fmt::format("hostfile {}: names no host; write one a line", file));
  return hosts;
}

std::string format_hostfile(const std::vector<Host>& hosts) {
  std::string out;
  for (const Host& host : hosts) out += fmt::format("{} slots={}\n", host.name, host.nodes);
  return out;
}

int count_nodes(const std::vector<Host>& hosts) {
  int nodes = 0;
  for (const Host& host : hosts) nodes += host.nodes;
  return nodes;
}

}  // namespace drover
