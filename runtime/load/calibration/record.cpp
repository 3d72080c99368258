#include "runtime/load/calibration/record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

using nlohmann::json;

namespace {

constexpr int kFormatVersion = 1;
constexpr std::array<std::string_view, 4> kVerdicts = {"measured", "harmless", "undecided", "impossible"};
constexpr std::size_t kMaxPoints = 1000;

json to_json(const FactorCalibration& factor) {
  json curve = json::array();
  for (const CurvePoint& point : factor.curve)
    curve.push_back({{"level", point.level}, {"value", point.value}, {"slowdown", point.slowdown}});
  json out = {{"factor", factor_name(factor.factor)},
              {"verdict", verdict_name(factor.verdict)},
              {"load", factor.load},
              {"curve", curve}};
  if (factor.verdict == Verdict::Measured) {
    out["low"] = factor.low;
    out["high"] = factor.high;
  } else {
    out["reason"] = factor.reason;
  }
  return out;
}

double finite(const json& object, const char* name, double least = -1e15, double most = 1e15) {
  const double value = object.at(name).get<double>();
  if (!(value >= least && value <= most)) throw std::runtime_error(fmt::format("{} is {}", name, value));
  return value;
}

template <std::size_t N>
std::size_t index_of(const std::string& name, const std::array<std::string_view, N>& names, const char* what) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name) return i;
  throw std::runtime_error(fmt::format("'{}' is no {}", name, what));
}

FactorCalibration factor_of(const json& object) {
  std::array<std::string_view, kFactors> names;
  for (std::size_t i = 0; i < kFactors; ++i) names[i] = factor_name(static_cast<Factor>(i));
  FactorCalibration out;
  out.factor = static_cast<Factor>(index_of(object.at("factor").get<std::string>(), names, "factor"));
  out.verdict = static_cast<Verdict>(index_of(object.at("verdict").get<std::string>(), kVerdicts, "verdict"));
  out.load = object.value("load", "");
  out.reason = object.value("reason", "");
  if (out.verdict == Verdict::Measured) {
    out.low = finite(object, "low", 0);
    out.high = finite(object, "high", out.low);
  }
  const json& curve = object.at("curve");
  if (!curve.is_array() || curve.size() > kMaxPoints) throw std::runtime_error("curve is no list of points");
  for (const json& point : curve)
    out.curve.push_back({finite(point, "level"), finite(point, "value"), finite(point, "slowdown")});
  return out;
}

Calibration calibration_of(const json& object) {
  if (const int version = object.at("version").get<int>(); version != kFormatVersion)
    throw std::runtime_error(fmt::format("version {} is not known, only {}", version, kFormatVersion));
  const json& machine = object.at("machine");
  Calibration out;
  out.host = object.at("host").get<std::string>();
  out.date = object.at("date").get<std::string>();
  out.machine = {machine.at("cpu_model").get<std::string>(), machine.at("pus").get<unsigned>(),
                 machine.at("memory_kib").get<std::uint64_t>(), machine.at("kernel").get<std::string>(),
                 machine.at("machine_id_hash").get<std::string>()};
  out.capacity = finite(object, "capacity", 0.001, 1e6);
  out.speed = finite(object, "speed", 1e-6, 1e6);
  out.low_slowdown = finite(object, "low_slowdown", 0);
  out.high_slowdown = finite(object, "high_slowdown", out.low_slowdown);
  out.quick = object.value("quick", false);
  for (const json& factor : object.at("factors")) out.factors.push_back(factor_of(factor));
  return out;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) { return kVerdicts.at(static_cast<std::size_t>(verdict)); }

std::string calibration_json(const Calibration& calibration) {
  json factors = json::array();
  for (const FactorCalibration& factor : calibration.factors) factors.push_back(to_json(factor));
  const MachineIdentity& machine = calibration.machine;
  const json out = {{"version", kFormatVersion},
                    {"host", calibration.host},
                    {"date", calibration.date},
                    {"machine",
                     {{"cpu_model", machine.cpu_model},
                      {"pus", machine.pus},
                      {"memory_kib", machine.memory_kib},
                      {"kernel", machine.kernel},
                      {"machine_id_hash", machine.machine_id_hash}}},
                    {"capacity", calibration.capacity},
                    {"speed", calibration.speed},
                    {"low_slowdown", calibration.low_slowdown},
                    {"high_slowdown", calibration.high_slowdown},
                    {"quick", calibration.quick},
                    {"factors", factors}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Calibration parse_calibration(const std::string& text, const std::string& file) {
  try {
    return calibration_of(json::parse(text));
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("{}: no calibration: {}; remove it or run: drover calibrate", file, error.what()));
  }
}

std::string calibration_path(const std::string& host) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  std::string base = variable("XDG_CONFIG_HOME");
  if (base.empty()) {
    if (variable("HOME").empty())
      throw std::runtime_error("no place for the calibration: HOME is not set; set it or XDG_CONFIG_HOME");
    base = variable("HOME") + "/.config";
  }
  return base + "/drover/calibration/" + host + ".json";
}

std::string calibration_host() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  const std::string full = name;
  return full.substr(0, full.find('.'));
}

void store_calibration(const Calibration& calibration, const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) throw SystemError("mkdir", std::filesystem::path(path).parent_path().string(), error.value());
  // Homes are shared: two hosts' files differ in name, two runs on one host in pid.
  const std::string fresh = fmt::format("{}.new.{}", path, ::getpid());
  const std::string text = calibration_json(calibration);
  {
    const UniqueFd fd(check(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), "create", fresh));
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(fd.get()) != 0) {
      const int why = errno;
      ::unlink(fresh.c_str());
      throw SystemError("write", fresh, why);
    }
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const int why = errno;
    ::unlink(fresh.c_str());
    throw SystemError("rename to", path, why);
  }
}

std::optional<Calibration> load_calibration(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return parse_calibration(text.str(), path);
}

}  // namespace drover
