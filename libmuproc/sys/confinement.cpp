#include "sys/confinement.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace muproc::sys {
namespace {

// Landlock as the kernel has it by now: the headers of the distribution are older.
struct RulesetAttributes {
  std::uint64_t handled_fs, handled_net, scoped;
};
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed;
  std::int32_t parent_fd;
};
constexpr std::uint32_t k_ask_version = 1, k_path_beneath = 1;
constexpr std::uint64_t k_write_file = 1 << 1, k_remove_dir = 1 << 4, k_remove_file = 1 << 5, k_make_char = 1 << 6,
                        k_make_dir = 1 << 7, k_make_reg = 1 << 8, k_make_sock = 1 << 9, k_make_fifo = 1 << 10,
                        k_make_block = 1 << 11, k_make_sym = 1 << 12, k_refer = 1 << 13, k_truncate = 1 << 14;
constexpr std::uint64_t k_scope_abstract_sockets = 1 << 0, k_scope_signals = 1 << 1;

/// All that changes files; from Landlock 2 and 3 on also to move them between folders, and to cut them.
std::uint64_t changes(int version) noexcept {
  std::uint64_t rights = k_write_file | k_remove_dir | k_remove_file | k_make_char | k_make_dir | k_make_reg |
                         k_make_sock | k_make_fifo | k_make_block | k_make_sym;
  if (version >= 2) rights |= k_refer;
  if (version >= 3) rights |= k_truncate;
  return rights;
}

class Fd {
 public:
  explicit Fd(long fd) noexcept : fd_(static_cast<int>(fd)) {}
  ~Fd() {
    const int error = errno;
    if (fd_ >= 0) ::close(fd_);
    errno = error;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Whoever may write in one of these places cannot have another one opened in its stead by a link.
Fd open_place(const char* path) noexcept {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return Fd(::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
}

bool permit(int ruleset, int place, std::uint64_t rights) noexcept {
  struct stat info {};
  if (::fstat(place, &info) != 0) return false;
  rights &= ~(k_make_char | k_make_block);
  if (!S_ISDIR(info.st_mode)) rights &= k_write_file | k_truncate;
  const PathBeneath rule{rights, place};
  return ::syscall(SYS_landlock_add_rule, ruleset, k_path_beneath, &rule, 0) == 0;
}

}  // namespace

int landlock_version() noexcept {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, k_ask_version);
  return version > 0 ? static_cast<int>(version) : 0;
}

bool take_no_new_privileges() noexcept { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0; }

FilesHeld hold_files(const Confinement& confinement, std::size_t& path) noexcept {
  if (!confinement.holds_files) return FilesHeld::yes;
  const int version = landlock_version();
  if (version == 0) return FilesHeld::kernel_cannot;
  const std::uint64_t rights = changes(version);
  std::uint64_t scoped = 0;
  if (version >= 6) scoped = k_scope_signals | (confinement.has_notify_socket ? 0 : k_scope_abstract_sockets);
  const RulesetAttributes attributes{rights, 0, scoped};
  const Fd ruleset(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
  if (ruleset.get() < 0) return FilesHeld::failed;
  const Fd null(::open("/dev/null", O_PATH | O_CLOEXEC));  // nothing is changed by what is written there
  if (null.get() >= 0 && !permit(ruleset.get(), null.get(), rights)) return FilesHeld::failed;
  for (path = 0; path < confinement.writable.size(); ++path) {
    const Fd place = open_place(confinement.writable[path].c_str());
    if (place.get() < 0) return FilesHeld::path_failed;
    if (!permit(ruleset.get(), place.get(), rights)) return FilesHeld::failed;
  }
  return ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0 ? FilesHeld::yes : FilesHeld::failed;
}

bool install_filter(const Confinement& confinement) noexcept {
  if (confinement.filter.empty()) return true;
  sock_filter own[BPF_MAXINSNS];
  if (confinement.filter.size() > BPF_MAXINSNS) return errno = E2BIG, false;
  const auto self = static_cast<std::uint32_t>(::getpid());
  std::transform(confinement.filter.begin(), confinement.filter.end(), own, [self](sock_filter instruction) {
    if (instruction.code == (BPF_JMP | BPF_JEQ | BPF_K) && instruction.k == k_own_process) instruction.k = self;
    return instruction;
  });
  const sock_fprog program{static_cast<unsigned short>(confinement.filter.size()), own};
  const long outcome = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (outcome > 0) errno = EBUSY;  // a thread that has a filter of its own
  return outcome == 0;
}

}  // namespace muproc::sys
