// Feeds what a droverd reads from a launcher: bytes as frames, and the payload of each as a request's spec and as a
// piece of a stream. Whatever comes, the answer is a value or one of the errors that end the connection or the request.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "runtime/control/client_message.h"
#include "runtime/control/frame.h"
#include "runtime/jobs/spec_json.h"

namespace drover {
namespace {

void read_frame(const Frame& frame) {
  if (frame.type != static_cast<std::uint16_t>(ClientMessage::Request)) {
    decode_stream_message(frame.payload);
    return;
  }
  const auto request = nlohmann::json::parse(frame.payload, nullptr, false);
  if (request.is_object()) spec_to_json(spec_from_json(request));
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  drover::FrameDecoder decoder;
  try {
    decoder.feed(std::span(reinterpret_cast<const char*>(data), size));
    while (const auto frame = decoder.next()) try {
        drover::read_frame(*frame);
      } catch (const std::invalid_argument&) {  // a spec that is none
      }
  } catch (const drover::ProtocolError&) {
  }
  return 0;
}
