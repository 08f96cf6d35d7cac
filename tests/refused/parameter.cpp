// refused: a handler's parameter is of a type that cannot be carried in a message
#include <muproc/server.hpp>

struct Server {
  void take(std::FILE* file);
};
inline constexpr muproc::Call<&Server::take> take{"take"};
