// Which machine a calibration belongs to.
#include <fmt/format.h>
#include <sys/utsname.h>
#include <xxhash.h>

#include <algorithm>

#include "runtime/load/calibration/record.h"
#include "runtime/load/host_files.h"
#include "runtime/load/proc_dir.h"
#include "runtime/load/text_fields.h"
#include "runtime/load/topology.h"

namespace drover {

namespace {

std::string cpu_model(std::string_view cpuinfo) {
  while (auto line = take_line(cpuinfo)) {
    if (line->substr(0, 10) != "model name") continue;
    const auto colon = line->find(": ");
    if (colon != std::string_view::npos) return std::string(line->substr(colon + 2));
  }
  return "unknown";
}

}  // namespace

MachineIdentity this_machine() {
  utsname names{};
  ::uname(&names);
  const std::string id = ProcDir("/etc").read("machine-id");
  const Topology topology = Topology::load();
  return {cpu_model(ProcDir("/proc").read("cpuinfo")), topology.pus(), topology.memory_kib(), names.release,
          id.empty() ? "none" : fmt::format("{:016x}", XXH3_64bits(id.data(), id.size()))};
}

std::string identity_difference(const MachineIdentity& stored, const MachineIdentity& now) {
  const auto differ = [](const char* what, const auto& is, const auto& was) {
    return fmt::format("its {} is {}, the calibrated one's {}", what, is, was);
  };
  if (stored.machine_id_hash != now.machine_id_hash)
    return differ("machine id's hash", now.machine_id_hash, stored.machine_id_hash);
  if (stored.cpu_model != now.cpu_model) return differ("CPU", now.cpu_model, stored.cpu_model);
  if (stored.pus != now.pus) return differ("number of PUs", now.pus, stored.pus);
  if (stored.kernel != now.kernel) return differ("kernel", now.kernel, stored.kernel);
  const auto most = std::max(stored.memory_kib, now.memory_kib), least = std::min(stored.memory_kib, now.memory_kib);
  if (most - least > most / 50) return differ("memory in KiB", now.memory_kib, stored.memory_kib);
  return {};
}

}  // namespace drover
