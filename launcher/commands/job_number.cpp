#include <fmt/format.h>

#include <charconv>

#include "launcher/commands/commands.h"

namespace drover {

long job_number(const std::string& text) {
  long number = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number < 0)
    throw UsageError(fmt::format("'{}' is no job number; see drover ps", text));
  return number;
}

std::vector<long> job_numbers(const std::vector<std::string>& texts) {
  std::vector<long> numbers;
  numbers.reserve(texts.size());
  for (const std::string& text : texts) numbers.push_back(job_number(text));
  return numbers;
}

}  // namespace drover
