#include "runtime/node/card.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "ckpt/sys/cpu.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/load/cgroup.h"
#include "runtime/load/pu_set.h"

namespace drover {

namespace {

template <std::size_t N>
void copy_text(char (&to)[N], const std::string& from) {
  const std::size_t n = std::min(from.size(), N - 1);
  std::memset(to, 0, N);
  std::memcpy(to, from.data(), n);
}

template <std::size_t N>
std::string text(const char (&from)[N]) {
  return {from, ::strnlen(from, N)};
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  const std::string full = name;
  return full.substr(0, full.find('.'));
}

std::uint64_t hash(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  std::getline(file, boot);
  return boot;
}

// Containers of one machine share its boot id, and virtual hosts may share a name: the PID namespace tells them apart.
std::uint64_t host_id(const std::string& host) {
  std::error_code ignored;
  const std::string pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", ignored);
  return hash(boot_id() + "/" + host + "/" + pid_namespace);
}

void fill_groups(NodeCard& card) {
  card.boot_id = hash(boot_id());
  if (const auto group = cpu_group()) card.cpu_group = cgroup_id(*group);
  const auto ids = cpu_group_ids();
  const std::size_t room = std::size(card.cpu_groups);
  std::copy_n(ids.begin(), std::min(ids.size(), room), card.cpu_groups);
  if (ids.size() > room) card.cpu_groups[room - 1] = kMoreGroups;
}

std::uint64_t next_generation(const InstancePaths& paths) {
  const std::string path = paths.state + "/generation";
  std::uint64_t last = 0;
  std::ifstream(path) >> last;
  const std::uint64_t asked = std::strtoull(environment("DROVER_GENERATION").c_str(), nullptr, 10);
  const std::uint64_t next = std::max(last + 1, asked);
  const std::string fresh = path + ".new";
  std::ofstream(fresh) << next << "\n";
  if (::rename(fresh.c_str(), path.c_str()) < 0) throw SystemError("rename to", path, errno);
  return next;
}

std::string token_path(const InstancePaths& paths, std::uint64_t cookie) {
  return fmt::format("{}/world.{:016x}", paths.state, cookie);
}

// Rank 0 leaves a file that the others must see: the state directory has to be the same one everywhere.
void check_shared_state(const mpi::World& world, const InstancePaths& paths, std::uint64_t cookie,
                        const std::vector<std::string>& names) {
  const std::string token = token_path(paths, cookie);
  if (world.rank() == 0) {
    const UniqueFd fd(check(::open(token.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "create", token));
    ::fsync(fd.get());
  }
  mpi::check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
  int sees = 0;
  // NFS may remember for some seconds that a file was not there: opening the directory asks the server again.
  for (int i = 0; i < 50 && sees == 0; ++i) {
    sees = ::access(token.c_str(), F_OK) == 0 ? 1 : 0;
    if (sees == 0) ::usleep(100'000);
    const UniqueFd dir(::open(paths.state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  std::vector<int> all(static_cast<std::size_t>(world.size()));
  mpi::check(MPI_Allgather(&sees, 1, MPI_INT, all.data(), 1, MPI_INT, MPI_COMM_WORLD), "MPI_Allgather");
  if (world.rank() == 0) ::unlink(token.c_str());
  std::string blind;
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (all[rank] == 0) blind += (blind.empty() ? "" : ", ") + names[rank];
  if (!blind.empty())
    throw std::runtime_error(fmt::format(
        "the state directory {} of {} is not seen by {}; set DROVER_STATE_DIR to a directory that all nodes share",
        paths.state, names[0], blind));
}

NodeCard own_card(const mpi::World& world, const Topology& topology, const mpi::DoorbellAddress& doorbell,
                  const InstancePaths& paths) {
  NodeCard card{};
  copy_text(card.version,
            environment("DROVER_TEST_VERSION").empty() ? DROVER_VERSION : environment("DROVER_TEST_VERSION"));
  copy_text(card.host, host_name());
  copy_text(card.wanted_name, environment("DROVER_NODE_NAME"));
  card.host_id = host_id(host_name());
  if (world.rank() == 0) {
    check(::getrandom(&card.cookie, sizeof card.cookie, 0), "getrandom");
    card.generation = next_generation(paths);
  }
  card.packages = topology.packages();
  card.cores = topology.cores();
  card.pus = topology.pus();
  card.memory_kib = topology.memory_kib();
  // Only whoever makes such hosts can know, so he says it.
  card.sees_other_hosts = std::getenv("DROVER_SHARED_HOST") != nullptr ? 1 : 0;
  copy_text(card.allowed_pus, format_pus(topology.allowed()));
  card.xcr0 = cpu_features().xcr0;
  copy_text(card.instructions, fmt::format("{}", fmt::join(cpu_features().instructions, " ")));
  card.doorbell = doorbell;
  fill_groups(card);
  return card;
}

CpuFeatures processor_of(const NodeCard& card) {
  CpuFeatures features;
  features.xcr0 = card.xcr0;
  std::istringstream words(text(card.instructions));
  for (std::string word; words >> word;) features.instructions.push_back(word);
  return features;
}

}  // namespace

std::string version_conflict(const std::vector<NodeCard>& cards) {
  std::string others;
  for (std::size_t rank = 1; rank < cards.size(); ++rank)
    if (text(cards[rank].version) != text(cards[0].version))
      others += fmt::format("{}{} on {} (rank {})", others.empty() ? "" : ", ", text(cards[rank].version),
                            text(cards[rank].host), rank);
  if (others.empty()) return {};
  return fmt::format("versions differ: {} on {} (rank 0), but {}; install the same Drover on every node",
                     text(cards[0].version), text(cards[0].host), others);
}

bool has_own_cpu_group(const std::vector<NodeCard>& cards, std::size_t rank) {
  const NodeCard& own = cards.at(rank);
  if (own.cpu_group == 0) return false;
  for (std::size_t other = 0; other < cards.size(); ++other) {
    if (other == rank || cards[other].boot_id != own.boot_id) continue;
    for (const std::uint64_t id : cards[other].cpu_groups)
      if (id == own.cpu_group || id == kMoreGroups) return false;
  }
  return true;
}

std::vector<std::string> choose_names(const std::vector<NodeCard>& cards) {
  std::set<std::string> hosts;
  std::set<std::uint64_t> ids;
  for (const auto& card : cards) {
    hosts.insert(text(card.host));
    ids.insert(card.host_id);
  }
  const bool own_hosts = hosts.size() == cards.size() && ids.size() == cards.size();
  std::vector<std::string> names;
  for (std::size_t rank = 0; rank < cards.size(); ++rank) {
    const std::string wanted = text(cards[rank].wanted_name);
    names.push_back(!wanted.empty()                 ? wanted
                    : own_hosts && cards.size() > 1 ? text(cards[rank].host)
                                                    : fmt::format("node{}", rank));
  }
  return names;
}

WorldInfo introduce(const mpi::World& world, const Topology& topology, const mpi::DoorbellAddress& doorbell,
                    const InstancePaths& paths) {
  const NodeCard own = own_card(world, topology, doorbell, paths);
  std::vector<NodeCard> cards(static_cast<std::size_t>(world.size()));
  mpi::check(MPI_Allgather(&own, sizeof own, MPI_BYTE, cards.data(), sizeof own, MPI_BYTE, MPI_COMM_WORLD),
             "MPI_Allgather");
  if (const auto conflict = version_conflict(cards); !conflict.empty()) throw std::runtime_error(conflict);
  const auto names = choose_names(cards);
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size())
    throw std::runtime_error("two nodes have the same name; set DROVER_NODE_NAME differently on each");

  WorldInfo info;
  info.cookie = cards[0].cookie;
  info.generation = cards[0].generation;
  info.local_ranks = 0;
  for (std::size_t rank = 0; rank < cards.size(); ++rank) {
    const NodeCard& card = cards[rank];
    unsigned on_host = 0;
    for (const auto& other : cards) on_host += other.host_id == card.host_id ? 1 : 0;
    info.nodes.push_back({names[rank], text(card.host), card.packages, card.cores, card.pus, card.memory_kib,
                          text(card.allowed_pus), on_host > 1 || card.sees_other_hosts != 0,
                          processor_lacks(processor_of(card), processor_of(own))});
    info.doorbells.push_back(card.doorbell);
    const bool same = card.host_id == own.host_id;
    info.same_host.push_back(same);
    if (same && static_cast<int>(rank) < world.rank()) ++info.local_rank;
    if (same) ++info.local_ranks;
  }
  info.own_cpu_group = has_own_cpu_group(cards, static_cast<std::size_t>(world.rank()));
  check_shared_state(world, paths, info.cookie, names);
  return info;
}

std::string missing_mpi_option() {
  struct Option {
    const char* name;
    const char* value;
    const char* why;
  };
  // mpirun hands its --mca options to the ranks as OMPI_MCA_*, so this sees both ways of giving them.
  const Option options[] = {
      {"OMPI_MCA_orte_enable_recovery", "1", "else one dead node ends every node's droverd"},
      {"OMPI_MCA_routed", "direct", "else a dead node cuts others off"},
  };
  for (const auto& option : options)
    if (environment(option.name) != option.value)
      return fmt::format("{}={} is not set ({}); start with: . hostfiles/drover.env; mpirun ...", option.name,
                         option.value, option.why);
  if (environment("OMPI_MCA_orte_bound_at_launch") == "1")
    return "mpirun binds each rank, and every job it starts, to one core; start with: . hostfiles/drover.env (or "
           "mpirun --bind-to none ...)";
  return {};
}

}  // namespace drover
