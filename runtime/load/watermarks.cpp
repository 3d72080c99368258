#include "runtime/load/watermarks.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>
#include <stdexcept>

namespace drover {

namespace {

constexpr double kMaxWeight = 1000;

// The largest value that makes sense: shares end at 1, and no machine reaches the others.
double largest(Factor factor) {
  switch (factor) {
    case Factor::CpuShare:
    case Factor::MemoryUsed:
    case Factor::SwapUsed:
      return 1;
    case Factor::RunQueue:
      return 1e4;
    default:
      return 1e12;
  }
}

std::optional<Factor> factor_of(const std::string& name) {
  for (std::size_t i = 0; i < kFactors; ++i)
    if (factor_name(static_cast<Factor>(i)) == name) return static_cast<Factor>(i);
  return std::nullopt;
}

std::string factor_names() {
  std::string out;
  for (std::size_t i = 0; i < kFactors; ++i)
    out += fmt::format("{}{}", i == 0 ? "" : ", ", factor_name(static_cast<Factor>(i)));
  return out;
}

double parse_value(const CLI::ConfigItem& item, double limit, const std::string& file) {
  const std::string text = item.inputs.empty() ? "" : item.inputs.front();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (item.inputs.size() != 1 || text.empty() || *end != '\0' || !std::isfinite(value) || value < 0 || value > limit)
    throw std::runtime_error(
        fmt::format("{}: {} = '{}': must be a number from 0 to {:g}", file, item.fullname(), text, limit));
  return value;
}

Factor apply_item(Watermarks& watermarks, const CLI::ConfigItem& item, const std::string& file) {
  const std::string wanted = item.parents.size() == 2 ? item.parents[1] : "";
  const auto factor = factor_of(wanted);
  if (!factor)
    throw std::runtime_error(
        fmt::format("{}: {}: no such factor; the factors are {}", file, item.fullname(), factor_names()));
  Watermark& mark = watermarks[*factor];
  if (item.name == "low") {
    mark.low = parse_value(item, largest(*factor), file);
  } else if (item.name == "high") {
    mark.high = parse_value(item, largest(*factor), file);
  } else if (item.name == "weight") {
    mark.weight = parse_value(item, kMaxWeight, file);
  } else {
    throw std::runtime_error(fmt::format("{}: {}: no such key; the keys are low, high, weight", file, item.fullname()));
  }
  return *factor;
}

}  // namespace

Watermarks default_watermarks(double capacity) {
  const double pus = std::max(capacity, 0.01), one = std::min(1.0, pus);
  Watermarks out;
  out[Factor::RunQueue] = {(pus - 0.75 * one) / pus, (pus - 0.25 * one) / pus, 6};
  out[Factor::CpuShare] = {(pus - 0.75 * one) / pus, (pus - 0.25 * one) / pus, 3};
  out[Factor::IoBlocks] = {20'000, 200'000, 1};  // 10 and 100 MB/s: what one disk does easily, and hardly
  out[Factor::PageOps] = {50, 500, 1};           // each is a wait for a disk
  out[Factor::Interrupts] = {5'000, 30'000, 1};
  out[Factor::ContextSwitches] = {5'000, 30'000, 1};
  out[Factor::MemoryUsed] = {0.7, 0.9, 1};
  out[Factor::SwapUsed] = {0.1, 0.5, 1};
  return out;
}

NodeState classify(const LoadSample& sample, const Watermarks& watermarks) {
  double all = 0, free = 0, busy = 0;
  for (std::size_t i = 0; i < kFactors; ++i) {
    if ((sample.known >> i & 1U) == 0) continue;
    const Watermark& mark = watermarks.factors[i];
    const auto value = static_cast<double>(sample.factors[i]);
    all += mark.weight;
    if (value < mark.low) free += mark.weight;
    if (value > mark.high) busy += mark.weight;
  }
  if (busy > all / 2) return NodeState::Busy;
  if (free > all / 2) return NodeState::Free;
  return NodeState::Normal;
}

std::array<bool, kFactors> apply_config(Watermarks& watermarks, std::string_view text, const std::string& file) {
  std::istringstream stream{std::string(text)};
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& error) {
    throw std::runtime_error(fmt::format("{}: {}", file, error.what()));
  }
  Watermarks changed = watermarks;
  std::array<bool, kFactors> set{};
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // CLI11's marks for a section's begin and end
    if (!item.parents.empty() && item.parents.front() == "watermarks")
      set[static_cast<std::size_t>(apply_item(changed, item, file))] = true;
  }
  for (std::size_t i = 0; i < kFactors; ++i) {
    const Watermark& mark = changed.factors[i];
    if (mark.low > mark.high)
      throw std::runtime_error(fmt::format("{}: watermarks.{}.low = {:g}: must be from 0 to high, which is {:g}", file,
                                           factor_name(static_cast<Factor>(i)), mark.low, mark.high));
  }
  watermarks = changed;
  return set;
}

}  // namespace drover
