// How a fresh process becomes a muproc: the door between whoever clones processes and the runtime that lives in them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muproc {
class Self;
}

namespace muproc::detail {

using EntryFunction = void (*)(Self&);

/// What MUPROC_ENTRY and MUPROC_PRELOAD leave behind when their module is loaded; a static object each.
struct EntryRegistration {
  EntryRegistration(const char* name, EntryFunction function);
};
struct PreloadRegistration {
  explicit PreloadRegistration(void (*function)());
};

/// An entry of this process's image, or null. `module_base` (dladdr's dli_fbase) narrows the search to one module; null
/// searches all.
EntryFunction find_entry(std::string_view name, const void* module_base = nullptr);
std::vector<std::string> entry_names(const void* module_base = nullptr);
/// Runs each MUPROC_PRELOAD of the module once.
void run_preloads(const void* module_base);

/// The build id of the module that an address lies in, and the address's offset from the module's base.
struct CodeLocation {
  std::vector<std::uint8_t> build_id;
  std::uint64_t offset = 0;
  std::string module;  // its path
};
CodeLocation locate(const void* address);
/// The address of (build id, offset) in this image, or null when no such module is loaded.
const void* resolve(const std::uint8_t* build_id, std::size_t size, std::uint64_t offset);
/// The build ids of all modules in this image.
std::vector<std::vector<std::uint8_t>> build_ids();

/// Has bound what every birth calls in a library that binds its symbols when they are first called, as libstdc++ does: once
/// in a process that is going to be cloned, not in each clone.
void bind_for_births();

/// Lives the life of a muproc in this single-threaded process, which was cloned for it: takes the kit from the control
/// socket, maps, says hello, waits for `go`, runs the function, gives account, and ends the process. `control_socket`
/// is owned from here on.
[[noreturn]] void run_child(int control_socket, EntryFunction function);

}  // namespace muproc::detail
