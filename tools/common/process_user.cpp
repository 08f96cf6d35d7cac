#include "tools/common/process_user.hpp"

#include <pwd.h>
#include <sys/stat.h>

#include <map>

namespace muproc::tools {

std::string user_of_process(int os_pid) {
  struct stat status;
  if (::stat(("/proc/" + std::to_string(os_pid)).c_str(), &status) != 0) return {};
  static std::map<uid_t, std::string> names;  // looking one up reads a file
  const auto [known, is_new] = names.try_emplace(status.st_uid);
  if (is_new) {
    const passwd* entry = ::getpwuid(status.st_uid);
    known->second = entry ? entry->pw_name : std::to_string(status.st_uid);
  }
  return known->second;
}

}  // namespace muproc::tools
