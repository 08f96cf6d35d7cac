// A machine for tests: it tells the test what it sees, and keeps a trace that can be asked for.
#pragma once

#include <muproc/state_machine.hpp>

#include <string>
#include <vector>

#include "support/call_error.hpp"
#include "support/system_fixture.hpp"

namespace muproc::test {

using Trace = std::vector<std::string>;

/// What a machine says to the test, one word after another.
inline Trace words(Self& self, std::size_t count) {
  Trace heard;
  while (heard.size() < count) heard.push_back(next<std::string, "saw">(self));
  return heard;
}

enum class S { a, b, c };

/// What every machine here can be asked.
struct Asked {
  void event(const std::string& word);
  void go(const std::string& where);
  Trace trace();
  int number(int n);
  void finish();
};
inline constexpr Cast<&Asked::event> event{"event"};
inline constexpr Cast<&Asked::go> go{"go"};
inline constexpr Call<&Asked::trace> trace{"trace"};
inline constexpr Call<&Asked::number> number{"number"};
inline constexpr Call<&Asked::finish> finish{"finish"};
inline constexpr Internal<std::string> inner{"inner"};

/// A machine that tells what it sees, in its trace and to the test.
class Telling : public StateMachine<S> {
 public:
  explicit Telling(Self& self) : self_(self) {}
  void terminate(const Reason& reason) { self_.send(self_.parent(), "terminate", reason); }

 protected:
  void saw(std::string word) {
    self_.send(self_.parent(), "saw", word);
    trace_.push_back(std::move(word));
  }
  static S named(const std::string& state) { return state == "a" ? S::a : state == "b" ? S::b : S::c; }
  auto telling(std::string word) {
    return [this, word] { saw(word); };
  }
  muproc::detail::Rows common() {
    return always(on(trace) >> [this] { return trace_; },
                  on(go) >> [](const std::string& where) { return to(named(where)); });
  }

  Self& self_;
  Trace trace_;
};

}  // namespace muproc::test
