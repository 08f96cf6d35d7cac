// A system's numbers over HTTP, and its status page, as Prometheus and a browser get them.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <regex>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/muctl_json.hpp"
#include "support/open_metrics.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"
#include "support/waiting.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

/// A socket connected to the port, or to the Unix socket of that path.
sys::UniqueFd connect_to(const std::string& where) {
  if (where.starts_with('/')) {
    sys::UniqueFd socket(sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    where.copy(address.sun_path, sizeof address.sun_path - 1);
    sys::check(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect", where);
    return socket;
  }
  sys::UniqueFd socket(sys::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(where)));
  sys::check(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect", where);
  return socket;
}

void write_all(int socket, const std::string& text) { sys::check(::send(socket, text.data(), text.size(), MSG_NOSIGNAL), "send"); }

/// Until the other side has ended.
std::string read_all(int socket) {
  std::string text;
  char bytes[4096];
  for (;;) {
    pollfd ready{socket, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(k_patience).count())) <= 0) throw Failed("waited for an answer");
    const ssize_t got = ::read(socket, bytes, sizeof bytes);
    if (got <= 0) return text;
    text.append(bytes, static_cast<std::size_t>(got));
  }
}

struct Answer {
  int status = 0;
  std::string head, body;
};

Answer ask(const std::string& where, const std::string& request) {
  const auto socket = connect_to(where);
  write_all(socket.get(), request);
  const std::string all = read_all(socket.get());
  Answer answer;
  const auto end = all.find("\r\n\r\n");
  INFO(all);
  REQUIRE(end != all.npos);
  REQUIRE(all.starts_with("HTTP/1.1 "));
  answer.status = std::stoi(all.substr(9, 3));
  answer.head = all.substr(0, end);
  answer.body = all.substr(end + 4);
  return answer;
}

Answer get(const std::string& where, const std::string& path, const std::string& more = "Host: localhost\r\n") {
  return ask(where, "GET " + path + " HTTP/1.1\r\n" + more + "Connection: close\r\n\r\n");
}

OpenMetrics metrics_at(const std::string& where) {
  const Answer answer = get(where, "/metrics");
  CHECK(answer.status == 200);
  return read_open_metrics(answer.body);
}

/// A system from a config with these lines in [system], and `more` after the muproc "echo".
class Served {
 public:
  explicit Served(const std::string& system, const std::string& more = {}, const std::string& children = "\"echo\"") {
    write(system, more, children);
    broker.emplace(Process::program({bin_dir() + "/mubroker", "run", config}));
    broker->wait_for_output("system served is up");
  }
  ~Served() {
    if (!broker->running()) return;
    broker->signal(SIGCONT);
    broker->signal(SIGTERM);
    broker->wait();
  }
  void write(const std::string& system, const std::string& more = {}, const std::string& children = "\"echo\"") const {
    std::ofstream(config) << "[system]\nname = \"served\"\n" + system + "\n[supervisor.root]\nlimit = { restarts = 9, within = \"60s\" }\nchildren = [" + children + "]\n[muproc.echo]\nmodule = \"" +
                                 module_dir() + "/libarea.so\"\nentry = \"areaserver\"\n" + more;
  }
  /// The port that it has got, as it said at last.
  std::string port() const {
    const std::string output = broker->output();
    static const std::regex said("status page are at http://127\\.0\\.0\\.1:([0-9]+)/");
    std::string port;
    for (std::sregex_iterator at(output.begin(), output.end(), said), end; at != end; ++at) port = (*at)[1];
    REQUIRE_FALSE(port.empty());
    return port;
  }

  const std::string config = (runtime_dir() / "served.toml").string();
  std::optional<Process> broker;
};

const std::string k_any_port = "metrics = \"127.0.0.1:0\"";

}  // namespace

TEST_CASE("what /metrics serves is OpenMetrics, and tells what has happened", "[metrics]") {
  Served served(k_any_port, "[muproc.sleep]\nexec = [\"sleep\", \"1000\"]\nplain = true\n", "\"echo\", \"sleep\"");
  const Answer answer = get(served.port(), "/metrics");
  CHECK(answer.status == 200);
  CHECK_THAT(answer.head, Contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
  CHECK_THAT(answer.head, Contains("X-Content-Type-Options: nosniff"));
  const OpenMetrics before = read_open_metrics(answer.body);
  CHECK(before.value("muproc_system_info", {{"system", "served"}}) == 1);
  CHECK(before.value("muproc_up", {{"muproc", "echo"}, {"supervisor", "root"}}) == 1);
  CHECK(before.value("muproc_up", {{"muproc", "sleep"}}) == 1);
  CHECK(before.value("muproc_muprocs", {{"state", "running"}}) == 2);
  // In the midst of its exec a process has no memory.
  wait_until("the program's memory", [&] { return metrics_at(served.port()).value("muproc_resident_memory_bytes", {{"muproc", "sleep"}}) > 100'000; });
  CHECK(before.value("muproc_broker_resident_memory_bytes") > 100'000);
  CHECK(before.value("muproc_broker_open_fds") > 10);
  CHECK(std::isnan(before.value("muproc_messages_received_total", {{"muproc", "sleep"}})));

  for (int i = 0; i < 3; ++i) said({"-s", "served", "call", "echo", "cmd=:square", "x=2"});
  wait_until("the numbers of three calls", [&] {
    const OpenMetrics now = metrics_at(served.port());
    return now.value("muproc_messages_received_total", {{"muproc", "echo"}}) == 3 && now.value("muproc_messages_sent_total", {{"muproc", "echo"}}) == 3 &&
           now.value("muproc_received_bytes_total", {{"muproc", "echo"}}) > 0;
  });
  ::kill(static_cast<pid_t>(json_of({"-s", "served", "show", "echo"})["os_pid"].number()), SIGSEGV);
  wait_until("the crash and the restart", [&] {
    const OpenMetrics now = metrics_at(served.port());
    return now.value("muproc_crashes_total", {{"muproc", "echo"}}) == 1 && now.value("muproc_restarts_total", {{"muproc", "echo"}}) == 1 &&
           now.value("muproc_system_crashes_total") == 1 && now.value("muproc_system_restarts_total") == 1 && now.value("muproc_up", {{"muproc", "echo"}}) == 1;
  });
}

TEST_CASE("what waits in a mailbox is told while its owner stands still", "[metrics]") {
  Served served(k_any_port);
  const auto os_pid = static_cast<pid_t>(json_of({"-s", "served", "show", "echo"})["os_pid"].number());
  ::kill(os_pid, SIGSTOP);
  Process caller = Process::program({bin_dir() + "/muctl", "-s", "served", "call", "echo", "cmd=:square", "x=2", "--timeout", "1m"});
  wait_until("a message to wait", [&] {
    const OpenMetrics now = metrics_at(served.port());
    const OpenMetrics::Labels echo = {{"muproc", "echo"}};
    return now.value("muproc_mailbox_messages", echo) == 1 && now.value("muproc_mailbox_bytes", echo) >= 64 && now.value("muproc_mailbox_fill_ratio", echo) > 0;
  });
  ::kill(os_pid, SIGCONT);
  CHECK(caller.wait() == 0);
  wait_until("none to wait", [&] { return metrics_at(served.port()).value("muproc_mailbox_messages", {{"muproc", "echo"}}) == 0; });
}

TEST_CASE("the status page is one page, under a policy that lets only its own script run", "[metrics]") {
  Served served(k_any_port);
  const Answer page = get(served.port(), "/?x=1"), again = get(served.port(), "/");
  CHECK(page.status == 200);
  CHECK_THAT(page.head, Contains("Content-Type: text/html; charset=utf-8") && Contains("frame-ancestors 'none'") && Contains("default-src 'none'"));
  std::smatch nonce;
  static const std::regex policy("script-src 'nonce-([0-9a-f]{32})'");
  REQUIRE(std::regex_search(page.head, nonce, policy));
  CHECK_THAT(page.body, Contains("<script nonce=\"" + nonce[1].str() + "\">") && !Contains("{{nonce}}"));
  CHECK_THAT(again.head, !Contains(nonce[1].str()));
  const Answer json = get(served.port(), "/status.json");
  CHECK_THAT(json.head, Contains("Content-Type: application/json"));
  const Json status(json.body);
  CHECK(status["system"].text() == "served");
  CHECK(status["nodes"].named("echo")["state"].text() == "running");
}

TEST_CASE("there is only something to read, by those who ask this machine for it", "[metrics]") {
  Served served(k_any_port);
  const std::string port = served.port();
  CHECK(get(port, "/nothing").status == 404);
  CHECK(get(port, "/../etc/passwd").status == 404);
  CHECK(get(port, "/metrics", "Host: 127.0.0.1:" + port + "\r\n").status == 200);
  CHECK(get(port, "/metrics", "Host: evil.example:" + port + "\r\n").status == 421);
  CHECK_THAT(get(port, "/metrics").head, !Contains("Access-Control"));
  const Answer post = ask(port, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CHECK(post.status == 405);
  CHECK_THAT(post.head, Contains("Allow: GET, HEAD"));
  const Answer head = ask(port, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK(ask(port, "this is no HTTP\r\n\r\n").status >= 400);
}

TEST_CASE("clients that send nothing, too much, or do not read cannot keep others out", "[metrics]") {
  Served served(k_any_port);
  const std::string port = served.port();
  std::vector<sys::UniqueFd> silent;
  for (int i = 0; i < 100; ++i) {
    silent.push_back(connect_to(port));
    if (i % 3 == 0) write_all(silent.back().get(), "GET /metrics HT");
    if (i % 3 == 1) write_all(silent.back().get(), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");  // and never reads
  }
  CHECK(metrics_at(port).value("muproc_up", {{"muproc", "echo"}}) == 1);
  // The broker ends the oldest ones: there are no more than so many.
  CHECK(metrics_at(port).value("muproc_broker_open_fds") < 100);
  const auto greedy = connect_to(port);
  write_all(greedy.get(), "GET /metrics HTTP/1.1\r\n");
  const std::string header = "X: " + std::string(1000, 'x') + "\r\n";
  std::size_t sent = 0;
  while (sent < (std::size_t{8} << 20) && ::send(greedy.get(), header.data(), header.size(), MSG_NOSIGNAL) > 0) sent += header.size();
  CHECK(sent < (std::size_t{8} << 20));
  CHECK(metrics_at(port).value("muproc_up", {{"muproc", "echo"}}) == 1);
  said({"-s", "served", "call", "echo", "cmd=:square", "x=2"});
}

TEST_CASE("a port that is taken keeps no system from running, and is had when it is free", "[metrics]") {
  sys::UniqueFd taken(sys::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  sys::check(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
  sys::check(::listen(taken.get(), 1), "listen");
  sys::check(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  const std::string port = std::to_string(ntohs(address.sin_port));
  Served served("metrics = \"127.0.0.1:" + port + "\"");
  CHECK_THAT(served.broker->output(), Contains("metrics: cannot listen at 127.0.0.1:" + port + ": bind: Address already in use; it is tried again"));
  taken.reset();
  served.broker->wait_for_output("status page are at http://127.0.0.1:" + port + "/");
  CHECK(get(port, "/metrics").status == 200);
}

TEST_CASE("a reload takes on another address, or none, and says when it cannot be had", "[metrics][reload]") {
  Served served("");
  const std::string path = (runtime_dir() / "m.sock").string();
  served.write("metrics = \"unix:m.sock\"");  // relative to the config's folder
  CHECK_THAT(said({"-s", "served", "reload"}), Contains("metrics: unset → unix:" + path));
  CHECK(metrics_at(path).value("muproc_up", {{"muproc", "echo"}}) == 1);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  served.write("metrics = \"unix:/no/such/folder/m.sock\"");
  const Outcome refused = muctl({"-s", "served", "reload"});
  CHECK(refused.code == 1);
  CHECK_THAT(refused.out + refused.err, Contains("cannot listen at unix:/no/such/folder/m.sock") && Contains("No such file or directory"));
  CHECK(::stat(path.c_str(), &status) != 0);
  served.write("");
  CHECK_THAT(said({"-s", "served", "reload"}), Contains("→ unset"));
  CHECK(json_of({"-s", "served", "show", "echo"})["restarts"].number() == 0);
}

TEST_CASE("a Unix socket that a killed broker has left is taken over", "[metrics]") {
  const std::string path = (runtime_dir() / "left.sock").string();
  {
    Served served("metrics = \"unix:left.sock\"");
    served.broker->signal(SIGKILL);
    served.broker->wait();
  }
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  Served served("metrics = \"unix:left.sock\"");
  CHECK(metrics_at(path).value("muproc_up", {{"muproc", "echo"}}) == 1);
}

TEST_CASE("the status page shows the system in a browser, whatever its muprocs are called", "[metrics][browser]") {
  std::string browser;
  for (const char* name : {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"})
    if (browser.empty() && ::access(name, X_OK) == 0) browser = name;
  if (browser.empty()) {
    WARN("no Chromium is installed (tools/setup.sh --browser): not tested");
    return;
  }
  Served served(k_any_port, "[muproc.\"<script>alert(1)<b>\"]\nexec = [\"sleep\", \"1000\"]\nplain = true\n", "\"echo\", \"<script>alert(1)<b>\"");
  const auto profile = (runtime_dir() / "browser").string(), picture = (runtime_dir() / "page.png").string();
  const auto browse = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {"/bin/sh", "-c", R"(exec "$@" 2>"$0")", (runtime_dir() / "browser-stderr").string(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                     "--no-first-run", "--user-data-dir=" + profile, "--window-size=1280,800", "--virtual-time-budget=6000"};
    argv.insert(argv.end(), words.begin(), words.end());
    argv.push_back("http://127.0.0.1:" + served.port() + "/");
    Process process = Process::program(std::move(argv));
    CHECK(process.wait() == 0);
    return process.output();
  };
  const std::string dom = browse({"--dump-dom"});
  INFO(dom);
  CHECK_THAT(dom, Contains("<title>served – muproc</title>"));
  CHECK_THAT(dom, Contains("echo</td>") && Contains("● running"));
  CHECK_THAT(dom, Contains("&lt;script&gt;alert(1)&lt;b&gt;</td>"));
  CHECK_THAT(dom, !Contains("<script>alert"));
  CHECK_THAT(dom, Contains("role=\"status\"></span>"));  // no trouble
  browse({"--screenshot=" + picture});
  const std::string png = contents(picture);
  CHECK_THAT(png, StartsWith("\x89PNG"));
  CHECK(png.size() > 10'000);
  if (const char* keep = std::getenv("MUPROC_TEST_SCREENSHOT")) std::filesystem::copy_file(picture, keep, std::filesystem::copy_options::overwrite_existing);
}
