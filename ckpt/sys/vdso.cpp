#include "ckpt/sys/vdso.h"

#include <elf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "ckpt/sys/text.h"

namespace drover {

VdsoRange find_vdso(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "maps"));
  const auto name = text ? text->rfind("[vdso]") : std::string::npos;
  if (name == std::string::npos) return {};
  const auto begin = text->rfind('\n', name) + 1;  // npos + 1 is 0
  return find_vdso(parse_maps(std::string_view(*text).substr(begin, name + 7 - begin)));
}

VdsoRange find_vdso(std::span<const Mapping> areas) {
  for (const Mapping& m : areas) {
    if (m.path == "[vdso]") return {m.start, m.bytes()};
  }
  return {};
}

// Copies: nothing promises that it is aligned, or all there.
template <class T>
static std::optional<T> load(std::span<const std::byte> bytes, std::uint64_t at) {
  T value{};
  if (at > bytes.size() || bytes.size() - at < sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

static std::string name_at(std::span<const std::byte> bytes, std::uint64_t at) {
  if (at >= bytes.size()) return {};
  const char* const text = reinterpret_cast<const char*>(bytes.data()) + at;
  return std::string(text, ::strnlen(text, bytes.size() - at));
}

std::vector<VdsoFunction> vdso_functions(std::span<const std::byte> vdso) {
  std::vector<VdsoFunction> functions;
  const auto header = load<Elf64_Ehdr>(vdso, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return functions;
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    const auto symbols = load<Elf64_Shdr>(vdso, header->e_shoff + std::uint64_t{i} * sizeof(Elf64_Shdr));
    if (!symbols || symbols->sh_type != SHT_DYNSYM || symbols->sh_link >= header->e_shnum) continue;
    const auto names = load<Elf64_Shdr>(vdso, header->e_shoff + std::uint64_t{symbols->sh_link} * sizeof(Elf64_Shdr));
    if (!names) continue;
    for (std::uint64_t at = 0; at + sizeof(Elf64_Sym) <= symbols->sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = load<Elf64_Sym>(vdso, symbols->sh_offset + at);
      if (!symbol) break;
      if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF) continue;
      if (symbol->st_value < vdso.size())
        functions.push_back({name_at(vdso, names->sh_offset + symbol->st_name), symbol->st_value});
    }
  }
  std::sort(functions.begin(), functions.end(),
            [](const VdsoFunction& a, const VdsoFunction& b) { return a.offset < b.offset; });
  return functions;
}

const std::vector<std::byte>& own_vdso() {
  static const std::vector<std::byte> code = [] {
    const VdsoRange range = find_vdso(::getpid());
    std::vector<std::byte> bytes(range.bytes);
    if (range.bytes != 0) std::memcpy(bytes.data(), reinterpret_cast<const void*>(range.start), bytes.size());
    return bytes;
  }();
  return code;
}

// jmp *0(%rip), followed by the address: changes no register.
static std::vector<std::byte> jump_to(std::uint64_t address) {
  std::vector<std::byte> code(kRedirectionBytes);
  constexpr std::array<unsigned char, 6> kJump{0xff, 0x25, 0, 0, 0, 0};
  static_assert(kJump.size() + sizeof address == kRedirectionBytes);
  std::memcpy(code.data(), kJump.data(), kJump.size());
  std::memcpy(code.data() + kJump.size(), &address, sizeof address);
  return code;
}

// mov $number, %eax; syscall; ret: what each of them does itself where it can't help it.
static std::vector<std::byte> system_call(std::uint32_t number) {
  std::vector<std::byte> code{std::byte{0xb8}};
  for (unsigned shift = 0; shift < 32; shift += 8) code.push_back(static_cast<std::byte>(number >> shift));
  for (const unsigned char byte : {0x0f, 0x05, 0xc3}) code.push_back(std::byte{byte});
  return code;
}

static std::optional<std::uint32_t> call_of(std::string_view function) {
  constexpr std::uint32_t kGetrandom = 318;
  static constexpr std::pair<std::string_view, std::uint32_t> kCalls[] = {{"__vdso_clock_gettime", SYS_clock_gettime},
                                                                          {"__vdso_clock_getres", SYS_clock_getres},
                                                                          {"__vdso_gettimeofday", SYS_gettimeofday},
                                                                          {"__vdso_time", SYS_time},
                                                                          {"__vdso_getcpu", SYS_getcpu},
                                                                          {"__vdso_getrandom", kGetrandom}};
  for (const auto& [name, number] : kCalls) {
    if (name == function) return number;
  }
  return std::nullopt;
}

std::vector<std::byte> redirect_vdso(std::span<const std::byte> old, std::span<const std::byte> live,
                                     std::uint64_t live_address) {
  const auto functions = vdso_functions(old), targets = vdso_functions(live);
  std::vector<std::byte> result(old.begin(), old.end());
  if (functions.empty() || targets.empty()) return {};
  for (const VdsoFunction& function : functions) {
    const auto target = std::find_if(targets.begin(), targets.end(),
                                     [&](const VdsoFunction& other) { return other.name == function.name; });
    const auto call = call_of(function.name);
    if (target == targets.end() && !call) continue;  // reads none of the kernel's data, as far as is known
    const auto code = target != targets.end() ? jump_to(live_address + target->offset) : system_call(*call);
    const auto next = std::find_if(functions.begin(), functions.end(),
                                   [&](const VdsoFunction& other) { return other.offset > function.offset; });
    const std::uint64_t end = next != functions.end() ? next->offset : old.size();
    if (end - function.offset < code.size()) return {};
    // Weak names without "__vdso_" stand for the same function: the first one of an offset decides, unless it is
    // unknown.
    std::copy(code.begin(), code.end(), result.begin() + static_cast<std::ptrdiff_t>(function.offset));
  }
  return result;
}

}  // namespace drover
