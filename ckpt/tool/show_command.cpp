#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "ckpt/image/fd_stream.h"
#include "ckpt/image/pages.h"
#include "ckpt/restore/image_model.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/protection_keys.h"
#include "ckpt/tool/commands.h"

namespace drover {

static UniqueFd open_image(const std::string& path) {
  return UniqueFd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open", path));
}

static nlohmann::json describe_files(const FilesState& files, const OpenFilesState& open_files) {
  static constexpr const char* kKinds[] = {"file",
                                           "directory",
                                           "device",
                                           "external",
                                           "nameless",
                                           "eventfd",
                                           "epoll",
                                           "timerfd",
                                           "pipe",
                                           "signalfd",
                                           "socket",
                                           "pidfd",
                                           "inotify",
                                           "terminal master",
                                           "terminal",
                                           "controlling terminal",
                                           "file of a process"};
  auto list = nlohmann::json::array();
  for (const DescriptorState& d : files.descriptors) {
    const OpenFileState& file = open_files.files[d.open_file];
    list.push_back({{"fd", d.fd},
                    {"description", d.open_file},
                    {"kind", kKinds[static_cast<std::size_t>(file.kind)]},
                    {"path", file.kind == FileKind::External ? file.key : file.file.path},
                    {"position", file.position},
                    {"flags", fmt::format("{:#o}", file.flags)}});
  }
  return list;
}

static std::string program_of(const ProcessImage& image) {
  if (image.process.shared.memory != 0) return fmt::format("that of process {}", image.process.shared.memory);
  return image.memory.executable_object >= 0 ? "(deleted)" : image.memory.files[image.memory.executable].path;
}

static nlohmann::json describe_keys(const MemoryState& memory) {
  auto allocated = nlohmann::json::array(), areas = nlohmann::json::array();
  for (unsigned key = 1; key < kProtectionKeys; ++key) {
    if ((memory.keys.allocated >> key & 1) != 0) allocated.push_back(key);
  }
  for (const AreaState& area : memory.areas) {
    if (area.key != 0)
      areas.push_back({{"start", fmt::format("{:#x}", area.start)},
                       {"end", fmt::format("{:#x}", area.end)},
                       {"key", area.key},
                       {"execute_only", area.key == memory.keys.execute_only}});
  }
  return {{"allocated", allocated}, {"areas", areas}};
}

static nlohmann::json describe(const ProcessImage& image, const OpenFilesState& open_files) {
  nlohmann::json place{{"pid", image.process.pid},
                       {"name", image.process.name},
                       {"parent", image.process.parent},
                       {"session", image.process.session},
                       {"process_group", image.process.process_group},
                       {"zombie", image.process.zombie}};
  if (image.process.zombie) {
    place["exit_status"] = image.process.exit_status;
    return place;
  }
  auto threads = nlohmann::json::array();
  for (const ThreadState& thread : image.threads) threads.push_back({{"tid", thread.tid}, {"name", thread.name}});
  std::uint64_t mapped = 0;
  for (const AreaState& area : image.memory.areas) mapped += area.bytes();
  place.update({{"program", program_of(image)},
                {"cwd", image.process.cwd},
                {"threads", threads},
                {"main_thread_ended", image.process.main_thread_ended},
                {"areas", image.memory.areas.size()},
                {"mapped_bytes", mapped},
                {"protection_keys", describe_keys(image.memory)},
                {"descriptors", describe_files(image.files, open_files)},
                {"timers", image.timers.posix_timers.size()}});
  return place;
}

static void print_text(const nlohmann::json& all) {
  fmt::print("made on Linux {}, {} bytes, {} pages in {} records\n", all["kernel"].get<std::string>(),
             all["image_bytes"].get<std::uint64_t>(), all["pages"].get<std::uint64_t>(),
             all["page_records"].get<std::uint64_t>());
  for (const auto& process : all["processes"]) {
    if (process["zombie"].get<bool>()) {
      fmt::print("process {} {}: has ended, child of {}\n", process["pid"].get<int>(),
                 process["name"].get<std::string>(), process["parent"].get<int>());
      continue;
    }
    fmt::print("process {} {}: {}, {} threads{}, {} areas, {} MiB mapped, in {}\n", process["pid"].get<int>(),
               process["name"].get<std::string>(), process["program"].get<std::string>(), process["threads"].size(),
               process["main_thread_ended"].get<bool>() ? " (the main one has ended)" : "",
               process["areas"].get<std::uint64_t>(), process["mapped_bytes"].get<std::uint64_t>() >> 20,
               process["cwd"].get<std::string>());
    for (const auto& area : process["protection_keys"]["areas"])
      fmt::print("  area {}-{} protection key {}{}\n", area["start"].get<std::string>(), area["end"].get<std::string>(),
                 area["key"].get<int>(), area["execute_only"].get<bool>() ? ", for execution only" : "");
    for (const auto& file : process["descriptors"])
      fmt::print("  fd {} {} {} at {}\n", file["fd"].get<int>(), file["kind"].get<std::string>(),
                 file["path"].get<std::string>(), file["position"].get<std::int64_t>());
  }
}

int run_show(const std::string& path, bool json) {
  const UniqueFd fd = open_image(path);
  FdSource source(fd.get());
  ImageReader reader(source);
  const ImageModel model = read_metadata(reader);
  std::uint64_t records = 0, pages = 0;
  for (Record record = reader.next(); record.type != RecordType::End; record = reader.next()) {
    if (record.type != RecordType::Pages) continue;
    ++records;
    pages += parse_pages(record.payload, record.flags).head.pages;
  }
  nlohmann::json all{{"kernel", model.host.kernel_release},
                     {"image_bytes", reader.image_bytes()},
                     {"pages", pages},
                     {"page_records", records},
                     {"processes", nlohmann::json::array()}};
  for (const ProcessImage& image : model.processes) all["processes"].push_back(describe(image, model.open_files));
  if (json)
    fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  else
    print_text(all);
  return 0;
}

int run_verify(const std::string& path) {
  const UniqueFd fd = open_image(path);
  FdSource source(fd.get());
  ImageReader reader(source);
  read_metadata(reader);
  for (Record record = reader.next(); record.type != RecordType::End; record = reader.next()) {
    if (record.type == RecordType::Pages) parse_pages(record.payload, record.flags);
  }
  if (!source.peek(1).empty()) throw ImageError("damaged image: something follows its end");
  fmt::print("{}: sound, {} bytes\n", path, reader.image_bytes());
  return 0;
}

int run_features(bool json) {
  const KernelFeatures& f = kernel_features();
  const std::pair<const char*, bool> all[] = {{"pagemap_scan", f.pagemap_scan},
                                              {"soft_dirty", f.soft_dirty},
                                              {"populate_write", f.populate_write},
                                              {"userfaultfd", f.userfaultfd},
                                              {"kcmp", f.kcmp},
                                              {"time_namespaces", f.time_namespaces},
                                              {"timer_restore_ids", f.timer_restore_ids},
                                              {"rseq_configuration", f.rseq_configuration},
                                              {"tid_address", f.tid_address},
                                              {"proc_children", f.proc_children},
                                              {"sched_debug", f.sched_debug},
                                              {"eventfd_semaphore", f.eventfd_semaphore},
                                              {"protection_keys", f.protection_keys}};
  nlohmann::json object{{"kernel", f.release}};
  for (const auto& [name, there] : all) object[name] = there;
  if (json) {
    fmt::print("{}\n", object.dump(2));
    return 0;
  }
  fmt::print("Linux {}\n", f.release);
  for (const auto& [name, there] : all) fmt::print("{:<20} {}\n", name, there ? "yes" : "no");
  return 0;
}

}  // namespace drover
