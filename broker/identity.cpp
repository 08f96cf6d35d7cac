#include "broker/identity.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace muproc::broker {
namespace {

using Identity = sys::ProcessSettings::Identity;

/// The number that a text is, if it is one. The largest means "unchanged" to the kernel, and is nobody.
std::optional<std::uint32_t> number_in(const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_whole = error == std::errc() && end == text.data() + text.size() && number != ~std::uint32_t{0};
  return is_whole ? std::optional(number) : std::nullopt;
}

struct User {
  uid_t uid;
  std::optional<gid_t> group;
  std::string name;  // empty: a number without an entry
};

User user_of(const std::string& text) {
  const auto number = number_in(text);
  const passwd* entry = number ? ::getpwuid(*number) : ::getpwnam(text.c_str());
  if (entry) return {entry->pw_uid, entry->pw_gid, entry->pw_name};
  if (number) return {*number, std::nullopt, {}};
  throw std::invalid_argument("there is no user named \"" + text + '"');
}

gid_t group_of(const std::string& text) {
  if (const auto number = number_in(text)) return *number;
  if (const group* entry = ::getgrnam(text.c_str())) return entry->gr_gid;
  throw std::invalid_argument("there is no group named \"" + text + '"');
}

/// Those that a user is in.
std::vector<gid_t> groups_of(const std::string& user, gid_t own) {
  std::vector<gid_t> groups(64);
  for (int count = static_cast<int>(groups.size()); ::getgrouplist(user.c_str(), own, groups.data(), &count) < 0;)
    groups.resize(static_cast<std::size_t>(std::max<int>(count, static_cast<int>(2 * groups.size()))));
  int count = static_cast<int>(groups.size());
  ::getgrouplist(user.c_str(), own, groups.data(), &count);
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

std::vector<gid_t> own_groups() {
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return groups;
}

}  // namespace

std::optional<Identity> identity_of(const std::string& user_text, const std::string& group_text,
                                    const std::optional<std::vector<std::string>>& groups) {
  if (user_text.empty() && group_text.empty() && !groups) return std::nullopt;
  const User user = user_text.empty() ? User{::geteuid(), ::getegid(), {}} : user_of(user_text);
  if (group_text.empty() && !user.group)
    throw std::invalid_argument("user " + user_text + " has no entry that names a group: say which one with \"group\"");
  Identity identity{user.uid, group_text.empty() ? *user.group : group_of(group_text), {}};
  if (groups)
    for (const std::string& one : *groups) identity.groups.push_back(group_of(one));
  else if (user_text.empty())
    identity.groups = own_groups();
  else if (!user.name.empty())
    identity.groups = groups_of(user.name, identity.gid);
  return identity;
}

}  // namespace muproc::broker
