// refused: changes do not travel back
#include <muproc/server.hpp>

struct Server {
  void change(int& number);
};
inline constexpr muproc::Cast<&Server::change> change{"change"};
