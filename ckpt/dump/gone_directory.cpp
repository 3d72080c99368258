#include <fmt/format.h>
#include <sys/stat.h>

#include "ckpt/dump/obstacles.h"

namespace drover {

std::optional<Refusal> plan_gone_directory(const std::string& link, const struct stat& info, const std::string& name,
                                           TreeObjects& objects, std::optional<std::uint32_t>& number) {
  struct stat here {};
  if (::stat(link.c_str(), &here) == 0 && here.st_dev == info.st_dev && here.st_ino == info.st_ino) return std::nullopt;
  const auto path = without_deleted(link);
  const std::string folder = path ? path->substr(0, std::max<std::size_t>(1, path->rfind('/'))) : "";
  if (!path || ::stat(folder.c_str(), &here) != 0 || !S_ISDIR(here.st_mode))
    return Refusal{fmt::format("its {} is gone with the folder that it was in, {}", name, link)};
  FileObject object;
  object.kind = ObjectKind::GoneDirectory;
  object.path = *path;
  object.mode = info.st_mode;
  object.uid = info.st_uid;
  object.gid = info.st_gid;
  number = objects.number_of({info.st_dev, info.st_ino}, object);
  return std::nullopt;
}

}  // namespace drover
