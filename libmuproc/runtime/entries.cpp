// What code this process's image holds: entries, preloads, and modules by build id.
#include <muproc/detail/child.hpp>

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>

namespace muproc::detail {
namespace {

struct Entry {
  const char* name;
  EntryFunction function;
};

// Registrations run while modules are loaded, before main or in dlopen: the lists must exist by then.
std::vector<Entry>& entries() {
  static std::vector<Entry> list;
  return list;
}
std::vector<void (*)()>& preloads() {
  static std::vector<void (*)()> list;
  return list;
}

const void* base_of(const void* address) {
  Dl_info info;
  return ::dladdr(address, &info) ? info.dli_fbase : nullptr;
}

template <class Function>
const void* address_of(Function* function) {
  return reinterpret_cast<const void*>(function);
}

bool in_module(const void* address, const void* module_base) { return !module_base || base_of(address) == module_base; }

std::vector<std::uint8_t> build_id_in(const dl_phdr_info& module) {
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const auto& segment = module.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const std::uint8_t*>(module.dlpi_addr + segment.p_vaddr);
    const auto* end = at + segment.p_memsz;
    const auto padded = [](std::size_t size) { return (size + 3) / 4 * 4; };
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const auto* name = at + sizeof note;
      const auto* data = name + padded(note.n_namesz);
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
        return {data, data + note.n_descsz};
      at = data + padded(note.n_descsz);
    }
  }
  return {};
}

/// Calls `see(info, build id)` for each loaded module until it returns true.
template <class See>
void each_module(See see) {
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* context) {
        return (*static_cast<See*>(context))(*info, build_id_in(*info)) ? 1 : 0;
      },
      &see);
}

/// True when the address lies in a part of the module that is loaded with these permissions.
bool covers(const dl_phdr_info& module, std::uintptr_t address, ElfW(Word) permissions = 0) {
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const auto& segment = module.dlpi_phdr[i];
    const std::uintptr_t begin = module.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && (segment.p_flags & permissions) == permissions && address >= begin &&
        address < begin + segment.p_memsz)
      return true;
  }
  return false;
}

}  // namespace

EntryRegistration::EntryRegistration(const char* name, EntryFunction function) { entries().push_back({name, function}); }
PreloadRegistration::PreloadRegistration(void (*function)()) { preloads().push_back(function); }

EntryFunction find_entry(std::string_view name, const void* module_base) {
  for (const auto& entry : entries())
    if (entry.name == name && in_module(address_of(entry.function), module_base)) return entry.function;
  return nullptr;
}

std::vector<std::string> entry_names(const void* module_base) {
  std::vector<std::string> names;
  for (const auto& entry : entries())
    if (in_module(address_of(entry.function), module_base)) names.emplace_back(entry.name);
  return names;
}

void run_preloads(const void* module_base) {
  for (auto* function : preloads())
    if (in_module(address_of(function), module_base)) function();
}

CodeLocation locate(const void* address) {
  CodeLocation location;
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  each_module([&](const dl_phdr_info& module, std::vector<std::uint8_t> build_id) {
    if (!covers(module, wanted)) return false;
    location.build_id = std::move(build_id);
    location.offset = wanted - module.dlpi_addr;
    location.module = module.dlpi_name && *module.dlpi_name ? module.dlpi_name : "/proc/self/exe";
    return true;
  });
  return location;
}

const void* resolve(const std::uint8_t* build_id, std::size_t size, std::uint64_t offset) {
  const void* found = nullptr;
  each_module([&](const dl_phdr_info& module, const std::vector<std::uint8_t>& id) {
    if (id.size() != size || std::memcmp(id.data(), build_id, size) != 0) return false;
    if (covers(module, module.dlpi_addr + offset, PF_X)) found = reinterpret_cast<const void*>(module.dlpi_addr + offset);
    return true;
  });
  return found;
}

std::vector<std::vector<std::uint8_t>> build_ids() {
  std::vector<std::vector<std::uint8_t>> ids;
  each_module([&](const dl_phdr_info&, std::vector<std::uint8_t> id) {
    if (!id.empty()) ids.push_back(std::move(id));
    return false;
  });
  return ids;
}

}  // namespace muproc::detail
