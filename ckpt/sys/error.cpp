#include "ckpt/sys/error.h"

#include <fmt/format.h>

#include <cstring>

namespace drover {

std::string error_text(int error) {
  const char* text = strerrordesc_np(error);
  return text != nullptr ? std::string(text) : fmt::format("error {}", error);
}

static std::string describe(std::string_view operation, std::string_view subject, int error) {
  if (subject.empty()) return fmt::format("{}: {}", operation, error_text(error));
  return fmt::format("{} {}: {}", operation, subject, error_text(error));
}

SystemError::SystemError(std::string_view operation, std::string_view subject, int error)
    : std::runtime_error(describe(operation, subject, error)), error_(error) {}

}  // namespace drover
