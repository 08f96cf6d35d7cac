// refused: a call of another server
#include <muproc/server.hpp>

struct One {
  void nothing();
};
struct Other {
  void nothing();
};
inline constexpr muproc::Call<&Other::nothing> nothing{"nothing"};

muproc::Pid start(muproc::Self& self) { return muproc::start_server<One>(self, "one", {nothing}); }
