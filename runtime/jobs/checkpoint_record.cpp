#include "runtime/jobs/checkpoint_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <stdexcept>

#include "ckpt/image/fd_stream.h"
#include "ckpt/image/pages.h"
#include "ckpt/restore/image_model.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/jobs/spec_json.h"
#include "runtime/shepherd/worker.h"

namespace drover {

using nlohmann::json;

std::string pack_record(const CheckpointRecord& record) {
  return json{{"job", record.job}, {"origin", record.origin}, {"spec", spec_to_json(record.spec)}}.dump();
}

CheckpointRecord unpack_record(const std::string& text) try {
  const json value = json::parse(text);
  return {value.at("job").get<std::int64_t>(), value.at("origin").get<std::string>(), spec_from_json(value.at("spec"))};
} catch (const json::exception& error) {
  throw std::invalid_argument(fmt::format("what it says of its job is not what it should be: {}", error.what()));
}

CheckpointRecord read_checkpoint(const std::string& path) {
  // O_NONBLOCK: a FIFO would wait for somebody who writes to it, and all that comes after with it.
  const UniqueFd fd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
  struct stat status {};
  check(::fstat(fd.get(), &status), "stat", path);
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + " can't be used: it is no file");
  try {
    FdSource source(fd.get());
    ImageReader reader(source);
    const ImageModel model = read_metadata(reader);
    for (Record record = reader.next(); record.type != RecordType::End; record = reader.next())
      if (record.type == RecordType::Pages) parse_pages(record.payload, record.flags);
    if (!source.peek(1).empty()) throw ImageError("damaged image: something follows its end");
    const std::string_view packed(reinterpret_cast<const char*>(model.context.data()), model.context.size());
    if (packed.empty())
      throw std::invalid_argument("it is no job's: drover-ckpt dump wrote it; use drover-ckpt restore");
    return unpack_record(unpack<shepherd::JobContext>(packed).record);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{} can't be used: {}", path, error.what()));
  }
}

}  // namespace drover
