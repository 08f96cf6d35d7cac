// refused: an argument of the server's constructor is of a type that cannot be carried in a message
#include <muproc/server.hpp>

struct Server {
  explicit Server(std::FILE* file);
  void nothing();
};
inline constexpr muproc::Call<&Server::nothing> nothing{"nothing"};

muproc::Pid start(muproc::Self& self, std::FILE* file) {
  return muproc::start_server<Server>(self, "server", {nothing}, file);
}
