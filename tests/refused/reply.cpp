// refused: a handler that answers through ReplyTo or a Builder returns nothing
#include <muproc/server.hpp>

struct Server {
  int both(muproc::ReplyTo<int> reply);
};
inline constexpr muproc::Call<&Server::both> both{"both"};
