// Control messages over a socket, between ends that may be broken.
#include "wire/frame.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/printing.hpp"
#include "support/random.hpp"
#include "support/watchdog.hpp"
#include "wire/codec.hpp"

using namespace muproc;
using muproc::wire::Field;
using muproc::wire::Frame;
using muproc::wire::FrameError;
using muproc::wire::FrameHeader;
using muproc::wire::FrameSocket;
using muproc::wire::k_frame_magic;
using muproc::wire::k_max_fds;
using muproc::wire::k_max_frame;
using Catch::Matchers::Contains;
using muproc::test::Random;
using muproc::test::Watchdog;

namespace {

struct Connection {
  Connection() {
    auto [first, second] = sys::socket_pair();
    a = FrameSocket(std::move(first));
    b = FrameSocket(std::move(second));
    sys::set_nonblocking(a.fd(), true);
    sys::set_nonblocking(b.fd(), true);
  }
  FrameSocket a, b;
};

bool say(FrameSocket& socket, const Value& value, std::initializer_list<int> fds = {}) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<Field>(), value);
  return socket.send(message, fds);
}

std::optional<Value> hear(FrameSocket& socket) {
  auto frame = socket.receive();
  if (!frame) return std::nullopt;
  return wire::read(frame->as<Field>());
}

void raw(FrameSocket& to, const void* bytes, std::size_t size) {
  REQUIRE(::send(to.fd(), bytes, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));
}

/// A frame as bytes.
std::vector<std::byte> bytes_of(const Value& value) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<Field>(), value);
  const auto words = capnp::messageToFlatArray(message);
  const FrameHeader header{k_frame_magic, 0, words.size()};
  std::vector<std::byte> bytes(sizeof header + words.asBytes().size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, words.begin(), words.asBytes().size());
  return bytes;
}

std::pair<dev_t, ino_t> identity(int fd) {
  struct stat status {};
  REQUIRE(::fstat(fd, &status) == 0);
  return {status.st_dev, status.st_ino};
}

}  // namespace

TEST_CASE("frames arrive whole and in order", "[wire][frame]") {
  Connection connection;
  CHECK_FALSE(hear(connection.b));
  CHECK(say(connection.a, 1));
  CHECK(say(connection.a, "two"));
  CHECK(say(connection.a, Mumsg{{"three", 3}}));
  CHECK(hear(connection.b) == Value(1));
  CHECK(hear(connection.b) == Value("two"));
  CHECK(hear(connection.b) == Value(Mumsg{{"three", 3}}));
  CHECK_FALSE(hear(connection.b));
  CHECK_FALSE(connection.b.closed());
  CHECK(connection.a.frames_written() == 3);
  CHECK(connection.a.bytes_waiting() == 0);
}

TEST_CASE("both ends may talk", "[wire][frame]") {
  Connection connection;
  say(connection.a, "ping");
  say(connection.b, "pong");
  CHECK(hear(connection.a) == Value("pong"));
  CHECK(hear(connection.b) == Value("ping"));
}

TEST_CASE("file descriptors travel with their frame, and with no other", "[wire][frame]") {
  Connection connection;
  const auto memfd = sys::create_memfd("test-travels", 4096);
  const auto eventfd = sys::create_eventfd();
  say(connection.a, "none before");
  say(connection.a, "two", {memfd.get(), eventfd.get()});
  say(connection.a, "one", {memfd.get()});
  say(connection.a, "none after");

  CHECK(connection.b.receive()->fds().empty());
  auto two = connection.b.receive();
  two->expect_fds(2);
  CHECK(two->fds()[0].get() != memfd.get());
  CHECK(identity(two->fds()[0].get()) == identity(memfd.get()));
  CHECK(::fcntl(two->fds()[0].get(), F_GETFD) == FD_CLOEXEC);
  auto one = connection.b.receive();
  one->expect_fds(1);
  CHECK(identity(one->fds()[0].get()) == identity(memfd.get()));
  auto none = connection.b.receive();
  CHECK_THROWS_WITH(none->expect_fds(1), Contains("0 descriptors instead of 1"));
}

TEST_CASE("the sender keeps its own descriptors, and may close them as soon as it has sent", "[wire][frame]") {
  Connection connection;
  auto memfd = sys::create_memfd("test-kept", 4096);
  const auto id = identity(memfd.get());
  say(connection.a, "here", {memfd.get()});
  CHECK(identity(memfd.get()) == id);
  memfd.reset();
  CHECK(identity(connection.b.receive()->fds().at(0).get()) == id);
}

TEST_CASE("a descriptor that waits for its frame's turn outlives the sender's own", "[wire][frame]") {
  Connection connection;
  auto memfd = sys::create_memfd("test-waits", 4096);
  const auto id = identity(memfd.get());
  REQUIRE_FALSE(say(connection.a, std::string(8 << 20, 'x')));  // the socket is full now
  CHECK_FALSE(say(connection.a, "with a descriptor", {memfd.get()}));
  memfd.reset();
  std::optional<Frame> frame;
  while (!(frame = connection.b.receive())) connection.a.flush();
  while (!(frame = connection.b.receive())) connection.a.flush();
  CHECK(identity(frame->fds().at(0).get()) == id);
}

TEST_CASE("what the socket does not take waits, and goes on where it stopped", "[wire][frame]") {
  Connection connection;
  const Value large(std::string(5 << 20, 'x'));
  CHECK_FALSE(say(connection.a, large));
  CHECK_FALSE(say(connection.a, "behind"));
  CHECK(connection.a.bytes_waiting() > 4 << 20);
  CHECK(connection.a.frames_written() == 0);
  std::optional<Value> heard;
  while (!(heard = hear(connection.b))) connection.a.flush();
  CHECK(heard == large);
  while (!connection.a.flush()) {
  }
  CHECK(connection.a.bytes_waiting() == 0);
  CHECK(connection.a.frames_written() == 2);
  CHECK(hear(connection.b) == Value("behind"));
}

TEST_CASE("a frame that comes byte by byte is there with its last byte", "[wire][frame]") {
  Connection connection;
  const auto bytes = bytes_of("slowly");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    REQUIRE_FALSE(hear(connection.b));
    raw(connection.a, &bytes[i], 1);
  }
  CHECK(hear(connection.b) == Value("slowly"));
}

TEST_CASE("a blocking end waits for a whole frame", "[wire][frame]") {
  const Watchdog watchdog("a blocking receive");
  Connection connection;
  sys::set_nonblocking(connection.b.fd(), false);
  std::thread sender([&] {
    const auto bytes = bytes_of("in two parts");
    ::send(connection.a.fd(), bytes.data(), 20, MSG_NOSIGNAL);
    std::this_thread::yield();
    ::send(connection.a.fd(), bytes.data() + 20, bytes.size() - 20, MSG_NOSIGNAL);
  });
  CHECK(hear(connection.b) == Value("in two parts"));
  sender.join();
}

TEST_CASE("a closed peer is known, and what it said before is heard", "[wire][frame]") {
  Connection connection;
  say(connection.a, "last words");
  connection.a.close();
  CHECK(hear(connection.b) == Value("last words"));
  CHECK_FALSE(hear(connection.b));
  CHECK(connection.b.closed());
}

TEST_CASE("what is sent to a closed peer is dropped silently", "[wire][frame]") {
  Connection connection;
  connection.b.close();
  CHECK(say(connection.a, "into the void"));
  CHECK(say(connection.a, std::string(8 << 20, 'x')));
  CHECK(connection.a.bytes_waiting() == 0);
  CHECK_FALSE(hear(connection.a));
  CHECK(connection.a.closed());
}

TEST_CASE("half a frame and then nothing is no frame", "[wire][frame]") {
  Connection connection;
  const auto bytes = bytes_of("cut off");
  raw(connection.a, bytes.data(), bytes.size() - 1);
  connection.a.close();
  CHECK_FALSE(hear(connection.b));
  CHECK(connection.b.closed());
}

TEST_CASE("whoever passes credentials is known by its OS pid", "[wire][frame]") {
  Connection connection;
  CHECK(connection.a.sender_os_pid() == 0);
  say(connection.b, "hello");
  CHECK(hear(connection.a) == Value("hello"));
  CHECK(connection.a.sender_os_pid() == ::getpid());
}

TEST_CASE("what is no frame costs its sender the connection", "[wire][frame][hostile]") {
  Connection connection;
  const auto header = [&](std::uint32_t magic, std::uint32_t fds, std::uint64_t words) {
    const FrameHeader header{magic, fds, words};
    raw(connection.a, &header, sizeof header);
  };
  SECTION("garbage") { raw(connection.a, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 36); }
  SECTION("larger than any may be") { header(k_frame_magic, 0, k_max_frame / 8 + 1); }
  SECTION("larger than any memory") { header(k_frame_magic, 0, ~std::uint64_t{0}); }
  SECTION("more descriptors than any may have") { header(k_frame_magic, k_max_fds + 1, 0); }
  SECTION("descriptors that do not come") { header(k_frame_magic, 1, 0); }
  SECTION("a message whose segments are longer than itself") {
    header(k_frame_magic, 0, 2);
    const std::uint32_t table[] = {0, 1000, 0, 0};
    raw(connection.a, table, sizeof table);
  }
  SECTION("a message of absurdly many segments") {
    header(k_frame_magic, 0, 2);
    const std::uint32_t table[] = {0x7fffffff, 1, 1, 1};
    raw(connection.a, table, sizeof table);
  }
  CHECK_THROWS_AS(connection.b.receive(), FrameError);
}

TEST_CASE("descriptors that no frame announced are not kept for ever", "[wire][frame][hostile]") {
  Connection connection;
  const auto memfd = sys::create_memfd("test-flood", 4096);
  bool thrown = false;
  for (int i = 0; i < 100 && !thrown; ++i) {
    char byte = 'x';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = memfd.get();
    std::memcpy(CMSG_DATA(message), &fd, sizeof fd);
    ::sendmsg(connection.a.fd(), &header, MSG_NOSIGNAL);
    try {
      while (connection.b.receive()) {
      }
    } catch (const FrameError&) {
      thrown = true;
    }
  }
  CHECK(thrown);
}

TEST_CASE("a message that is too large for a frame is refused at its sender", "[wire][frame]") {
  Connection connection;
  capnp::MallocMessageBuilder message;
  message.initRoot<Field>().initData(k_max_frame + 1);
  CHECK_THROWS_WITH(connection.a.send(message), Contains("larger than the limit"));
  CHECK(say(connection.a, "the connection goes on"));
  CHECK(hear(connection.b) == Value("the connection goes on"));
}

TEST_CASE("whatever bytes come, they are frames or they end the connection", "[wire][frame][hostile]") {
  Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 300; ++round) {
    Connection connection;
    auto bytes = bytes_of(Mumsg{{"a", List{1, "two", 3.5}}, {"b", Reason::linked("x", Pid(0, 1, 1), Reason::killed())}});
    for (std::uint64_t flips = 1 + random.below(8); flips > 0; --flips)
      bytes[random.below(bytes.size())] ^= std::byte{static_cast<unsigned char>(1u << random.below(8))};
    raw(connection.a, bytes.data(), bytes.size());
    connection.a.close();
    try {
      while (hear(connection.b)) {
      }
    } catch (const FrameError&) {
    } catch (const kj::Exception&) {  // a frame whose contents are malformed
    }
  }
}

TEST_CASE("a stream of frames that never pauses takes no more and more memory", "[wire][frame]") {
  const Watchdog watchdog("a stream of frames to be read");
  Connection connection;
  sys::set_nonblocking(connection.b.fd(), false);
  std::thread sender([&] {
    // In pieces that never end where a frame does, so that there is always the beginning of one left over.
    const auto frame = bytes_of("some text that is forty-three bytes long ...");
    std::vector<std::byte> bytes;
    for (int i = 0; i < 20000; ++i) bytes.insert(bytes.end(), frame.begin(), frame.end());
    sys::set_nonblocking(connection.a.fd(), false);
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = ::send(connection.a.fd(), bytes.data() + at, std::min<std::size_t>(bytes.size() - at, 65521), MSG_NOSIGNAL);
      if (sent <= 0) break;
      at += static_cast<std::size_t>(sent);
    }
  });
  std::size_t most = 0;
  for (int i = 0; i < 20000; ++i) {
    REQUIRE(hear(connection.b));
    most = std::max(most, connection.b.bytes_buffered());
  }
  sender.join();
  CHECK(most < 256 << 10);
}
