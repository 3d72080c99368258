// What a calibration found, as it is stored: one JSON file per host, written by `drover calibrate`, read by droverd at
// its start. docs/load.md describes the format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/load/calibration/curve.h"
#include "runtime/load/sample.h"

namespace drover {

// What must be the same for a calibration to hold.
struct MachineIdentity {
  std::string cpu_model;
  unsigned pus = 0;
  std::uint64_t memory_kib = 0;
  std::string kernel;           // uname -r
  std::string machine_id_hash;  // of /etc/machine-id, which itself is not to be shown around (machine-id(5))
};
MachineIdentity this_machine();
// "its kernel is 6.1.0, the calibrated one's 5.10.0"; empty if nothing differs. Memory may by 2 %: what the kernel
// keeps for itself changes a little between boots.
std::string identity_difference(const MachineIdentity& stored, const MachineIdentity& now);

enum class Verdict : std::uint8_t {
  Measured,   // low and high come from the curve
  Harmless,   // driven beyond its default high watermark it does not slow programs: no vote
  Undecided,  // does not slow programs as far as it could be driven: keeps its default
  Impossible  // could not be driven on this node: no vote
};
std::string_view verdict_name(Verdict);  // "measured", "harmless", "undecided", "impossible"

struct FactorCalibration {
  Factor factor = Factor::RunQueue;
  Verdict verdict = Verdict::Impossible;
  double low = 0, high = 0;  // of Verdict::Measured
  std::string reason;        // one line; of the others
  std::string load;          // what drove it, with the unit of the levels: "busy programs"
  Curve curve;               // as measured
};

struct Calibration {
  std::string host, date;  // date: ISO 8601, UTC
  MachineIdentity machine;
  double capacity = 1;  // PUs that the node could count on
  double speed = 1;     // of one PU: work of the compute probe per second / kReferenceWorkPerSecond
  double low_slowdown = 0.05, high_slowdown = 0.25;
  bool quick = false;
  std::vector<FactorCalibration> factors;
};

std::string calibration_json(const Calibration&);
// Throws std::runtime_error naming `file` and what is wrong with it.
Calibration parse_calibration(const std::string& text, const std::string& file);

// $XDG_CONFIG_HOME/drover/calibration/HOST.json, else below ~/.config. Throws std::runtime_error without a home.
std::string calibration_path(const std::string& host);
std::string calibration_host();  // this host's name up to its first dot
// Replaces the file as a whole. Throws SystemError.
void store_calibration(const Calibration&, const std::string& path);
// Empty if there is no such file; throws as parse_calibration() does.
std::optional<Calibration> load_calibration(const std::string& path);

}  // namespace drover
