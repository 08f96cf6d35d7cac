// Why a muproc ended.
//
// A Reason is a value: it can be compared, printed, sent in a message. What the kernel reports (`signal`, `code`) and
// what a muproc says of itself (`normal`, `exit`, `exception`) are different kinds and never confused: one that says
// `normal` and is then killed by SIGSEGV in a static destructor ended by that signal.
// Erlang: an exit reason. cl-muproc: the reason in a `terminated`/`reason` message.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <muproc/value.hpp>

namespace muproc {

class Reason {
 public:
  enum class Kind : std::uint16_t {
    normal,           ///< its function returned
    exit,             ///< exit(value), by itself or told by another
    killed,           ///< kill()
    signal,           ///< the kernel: ended by signal `number`, `core` if it was dumped
    code,             ///< the program called exit(`number`) behind the runtime's back
    exception,        ///< an exception left its function: `type`, `what`
    linked,           ///< a linked peer `name`, `pid` ended with `cause`
    shutdown,         ///< its supervisor stopped it
    watchdog,         ///< it did not come back to the runtime in time
    out_of_memory,    ///< it exceeded its memory limit
    corrupt_message,  ///< it wrote a record that is not one
    start_failed,     ///< it never became ready: `what`, and `cause` if there is one
    broker_lost,      ///< the broker died
    noproc,           ///< there was nobody to link to, monitor or call
  };

  Reason() = default;
  static Reason normal() { return Reason(Kind::normal); }
  static Reason exit(Value value);
  static Reason killed() { return Reason(Kind::killed); }
  static Reason signal(int number, bool core = false);
  static Reason code(int code);
  static Reason exception(std::string type, std::string what);
  static Reason linked(std::string name, Pid pid, Reason cause);
  static Reason shutdown() { return Reason(Kind::shutdown); }
  static Reason corrupt_message(std::string what);
  static Reason start_failed(std::string what);
  static Reason start_failed(Reason cause);
  static Reason broker_lost() { return Reason(Kind::broker_lost); }
  static Reason noproc() { return Reason(Kind::noproc); }
  explicit Reason(Kind kind) : kind_(kind) {}

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_normal() const { return kind_ == Kind::normal; }
  /// Of `exit`: the value; nil otherwise.
  const Value& value() const { return value_; }
  /// Of `signal` its number, of `code` the exit code; 0 otherwise.
  int number() const { return number_; }
  bool core() const { return core_; }
  /// Of `exception` the type's name, of `linked` the peer's name.
  const std::string& name() const { return name_; }
  const std::string& what() const { return what_; }
  Pid pid() const { return pid_; }
  /// Of `linked` and `start_failed`; null otherwise. Lives as long as this reason or a copy of it.
  const Reason* cause() const { return cause_.get(); }
  /// The innermost cause: this reason itself when it has none.
  const Reason& root_cause() const;

  friend bool operator==(const Reason& a, const Reason& b);
  /// True when this is `exit(text)`, or the kind whose word is `text`: `reason == "received-quit-cmd"`, `== "normal"`.
  friend bool operator==(const Reason& reason, std::string_view text);

 private:
  friend struct ReasonAccess;  // the codec
  Kind kind_ = Kind::normal;
  bool core_ = false;
  int number_ = 0;
  Pid pid_;
  std::string name_, what_;
  Value value_;
  std::shared_ptr<const Reason> cause_;
};

/// The kind's word: "normal", "exit", "killed", …
std::string_view to_string(Reason::Kind kind);
/// As a person would say it: `normal`, `exit: "too-many-restarts"`, `signal SIGSEGV (core dumped)`,
/// `linked to ch-1 <0.3.1>: exit: done`.
std::string to_string(const Reason& reason);

/// Thrown by a runtime call when this muproc is to end: by its own `exit`, or told by another, a link or its
/// supervisor. Let it pass: destructors run, and the reason is what others see. Swallowing it does not help; the next
/// runtime call throws again. It is no std::exception on purpose, so that `catch (const std::exception&)` lets it by.
/// cl-muproc: muproc-exit-condition.
struct ExitSignal {
  Reason reason;
};

inline Value::Value(Reason reason) : v_(std::make_shared<const Reason>(std::move(reason))) {}

}  // namespace muproc
