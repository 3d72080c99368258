// Feeds what a droverd reads from a launcher: bytes as frames, and the payload of each as a request's spec and as a
// piece of a stream. Whatever comes, the answer is a value or one of the errors that end the connection or the request.
// The first byte of an input chooses: all that follows as it comes, or as the payload of one frame made here, since no
// mutation that adds a byte gets a frame's length right.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "runtime/control/client_message.h"
#include "runtime/control/frame.h"
#include "runtime/jobs/array.h"
#include "runtime/jobs/spec_json.h"

namespace drover {
namespace {

void read_spec(const nlohmann::json& value) {
  const JobSpec spec = spec_from_json(value);
  // What is logged and read again by the next droverd is the same.
  const auto written = spec_to_json(spec);
  if (spec_to_json(spec_from_json(nlohmann::json::parse(written.dump()))) != written) __builtin_trap();
  if (!spec.array.empty()) task_spec(spec, 1, count_tasks(spec) - 1);
}

void read_frame(const Frame& frame) {
  if (frame.type != static_cast<std::uint16_t>(ClientMessage::Request)) {
    const StreamMessage message = decode_stream_message(frame.payload);
    decode_stream_message(encode_stream_message(message));
    return;
  }
  const auto request = nlohmann::json::parse(frame.payload, nullptr, false);
  if (request.is_object()) read_spec(request);
}

void read_frames(std::string_view bytes) {
  FrameDecoder decoder;
  // In two pieces, as a socket may give them.
  for (const auto piece : {bytes.substr(0, bytes.size() / 2), bytes.substr(bytes.size() / 2)}) {
    decoder.feed(piece);
    while (const auto frame = decoder.next()) try {
        read_frame(*frame);
      } catch (const std::invalid_argument&) {  // a spec that is none
      }
  }
}

void feed(std::uint8_t choice, std::string_view bytes) {
  switch (choice % 3) {
    case 0:
      return read_frames(bytes);
    case 1:
      return read_frames(encode_frame(static_cast<std::uint16_t>(ClientMessage::Request), bytes));
    default:
      return read_frames(encode_frame(static_cast<std::uint16_t>(ClientMessage::Data), bytes));
  }
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    drover::feed(data[0], std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  } catch (const drover::ProtocolError&) {
  }
  return 0;
}
