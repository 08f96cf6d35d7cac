// refused: a handler's result is of a type that cannot be carried in a message
#include <muproc/server.hpp>

struct NotPlain {
  explicit NotPlain(int);
};
struct Server {
  NotPlain give();
};
inline constexpr muproc::Call<&Server::give> give{"give"};
