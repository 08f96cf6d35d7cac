// A door with a code lock: the state machine that OTP's documentation begins with. Buttons are typed in; the right digits
// open the door, for a while. What is typed while it is open waits until it is locked again.
#include <muproc/muproc.hpp>
#include <muproc/state_machine.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using namespace muproc;
using namespace std::chrono_literals;

namespace {

enum class Door { locked, open };

/// What can be asked of the lock.
struct Lock {
  void button(int digit);
  int code_length();
  void lock();
  int times_opened();
};
constexpr Cast<&Lock::button> button{"button", "code-lock"};
constexpr Call<&Lock::code_length> code_length{"code_length", "code-lock"};
constexpr Call<&Lock::lock> lock{"lock", "code-lock"};
constexpr Call<&Lock::times_opened> times_opened{"times_opened", "code-lock"};

class CodeLock : public StateMachine<Door> {
 public:
  CodeLock(std::string code, std::chrono::milliseconds open_for) : code_(std::move(code)), open_for_(open_for) {}

  Table table() {
    using enum Door;
    // clang-format off
    return {locked,
            {in(locked, entry            >> &CodeLock::close,
                        on(button)       >> &CodeLock::press,
                        on(lock)         >> keep_state(),
                        event_timeout    >> [this] { typed_.clear(); }),
             in(open,   entry            >> &CodeLock::unlock,
                        on(button)       >> postpone(),
                        on(lock)         >> to(locked),
                        state_timeout    >> to(locked)),
             always(    on(code_length)  >> [this] { return static_cast<int>(code_.size()); },
                        on(times_opened) >> [this] { return times_opened_; })}};
    // clang-format on
  }

 private:
  Next press(int digit) {
    typed_ += std::to_string(digit);
    if (typed_.size() > code_.size()) typed_.erase(0, 1);
    if (typed_ == code_) return to(Door::open);
    return keep_state().start(event_timeout, 30s);
  }
  void close(Door before) {
    typed_.clear();
    if (before == Door::open) std::puts("The door is locked.");
  }
  Next unlock() {
    ++times_opened_;
    std::puts("The door is open.");
    return keep_state().start(state_timeout, open_for_);
  }

  const std::string code_;
  const std::chrono::milliseconds open_for_;
  std::string typed_;
  int times_opened_ = 0;
};

void code_lock(Self& self) {
  run_state_machine<CodeLock>(self, self.args()["code"].as<std::string>(),
                              std::chrono::milliseconds(self.args()["open_ms"].as<int>()));
}

void visitor(Self& self) {
  const auto type = [&](const std::string& digits) {
    for (const char digit : digits) button(self, digit - '0');
  };
  const auto wait_until_opened = [&](int times) {
    while (times_opened(self) < times) self.sleep(1ms);
  };
  std::printf("The code has %d digits.\n", code_length(self));
  type("1235");
  std::printf("Opened %d times with the wrong code.\n", times_opened(self));
  type("1234");
  wait_until_opened(1);
  type("1234");  // either it is still open, and this waits until it is locked, or it is locked already
  wait_until_opened(2);
  lock(self);
  std::printf("Opened %d times in all.\n", times_opened(self));
}

}  // namespace

MUPROC_ENTRY(code_lock)
MUPROC_ENTRY(visitor)
