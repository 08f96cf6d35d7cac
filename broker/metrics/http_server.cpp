#include "broker/metrics/http_server.hpp"

#include <fmt/format.h>
#include <kj/compat/http.h>
#include <sys/random.h>

#include <deque>
#include <string_view>
#include <vector>

#include "broker/metrics/open_metrics.hpp"
#include "broker/metrics/status_page.hpp"

namespace muproc::broker {
namespace {

constexpr std::string_view k_nonce = "{{nonce}}";

/// 128 bits that nobody can guess.
std::string fresh_nonce() {
  unsigned char bytes[16] = {};
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) throw std::runtime_error("getrandom");
  std::string nonce;
  for (const unsigned char byte : bytes) nonce += fmt::format("{:02x}", byte);
  return nonce;
}

std::string page_with(const std::string& nonce) {
  std::string page(k_status_page);
  for (auto at = page.find(k_nonce); at != page.npos; at = page.find(k_nonce, at)) page.replace(at, k_nonce.size(), nonce);
  return page;
}

/// What is asked for, without the query.
std::string_view path_of(std::string_view url) {
  if (const auto scheme = url.find("://"); scheme != url.npos && url.front() != '/') {
    const auto slash = url.find('/', scheme + 3);
    url = slash == url.npos ? std::string_view("/") : url.substr(slash);
  }
  return url.substr(0, url.find('?'));
}

}  // namespace

bool is_local_host(std::string_view host) {
  if (host.starts_with('[')) return host.starts_with("[::1]") && (host.size() == 5 || host[5] == ':');
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // nobody deletes one through KJ's base

class HttpServer::Impl final : private kj::HttpServerCallbacks, private kj::HttpServerErrorHandler {
 public:
  Impl(Loop& loop, Log& log, sys::UniqueFd socket, bool only_local_names, Pages pages)
      : log_(log),
        pages_(std::move(pages)),
        only_local_names_(only_local_names),
        timer_(loop.io().provider->getTimer()),
        receiver_(loop.io().lowLevelProvider->wrapListenSocketFd(
            socket.release(), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP | kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC | kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK)),
        server_(timer_, table_, [this](kj::AsyncIoStream& stream) -> kj::Own<kj::HttpService> { return kj::heap<Service>(*this, stream); }, settings()),
        accepting_(accept_all().eagerlyEvaluate([](kj::Exception&&) {})) {}

 private:
  using Response = kj::HttpService::Response;

  /// Of one connection. KJ would wait for another request on it; when its peer hears that nothing more comes, it goes.
  class Service final : public kj::HttpService {
   public:
    Service(Impl& server, kj::AsyncIoStream& stream) : server_(server), stream_(stream) {}
    kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers, kj::AsyncInputStream&, Response& response) override {
      return server_.answer(method, url, headers, response).then([this] { stream_.shutdownWrite(); });
    }

   private:
    Impl& server_;
    kj::AsyncIoStream& stream_;
  };

  kj::Promise<void> answer(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers, Response& response) {
    KJ_IF_MAYBE(host, headers.get(kj::HttpHeaderId::HOST)) {
      if (only_local_names_ && !is_local_host({host->begin(), host->size()}))
        return send(response, 421, "Misdirected Request", "text/plain; charset=utf-8", text_of("Ask for localhost, or for an address of this machine.\n"));
    }
    if (method != kj::HttpMethod::GET && method != kj::HttpMethod::HEAD)
      return send(response, 405, "Method Not Allowed", "text/plain; charset=utf-8", text_of("There is only something to read.\n"));
    const std::string_view path = path_of({url.begin(), url.size()});
    try {
      if (path == "/metrics") return send(response, 200, "OK", k_open_metrics_type, pages_.metrics());
      if (path == "/status.json") return send(response, 200, "OK", "application/json; charset=utf-8", pages_.status());
      if (path == "/") {
        const std::string nonce = fresh_nonce();
        return send(response, 200, "OK", "text/html; charset=utf-8", std::make_shared<const std::string>(page_with(nonce)), nonce);
      }
    } catch (const std::exception& failure) {
      log_.error("metrics: {}", failure.what());
      return send(response, 500, "Internal Server Error", "text/plain; charset=utf-8", text_of("The broker's log says why.\n"));
    }
    return send(response, 404, "Not Found", "text/plain; charset=utf-8", text_of("There are /, /metrics and /status.json.\n"));
  }

  struct Connection {
    kj::Promise<void> promise = nullptr;
  };

  /// Each connection ends with its answer: nobody keeps a place that he does not use.
  bool shouldClose() override { return true; }
  /// What goes wrong in an answer is told where it does; the rest are peers that have gone.
  kj::Promise<void> handleApplicationError(kj::Exception, kj::Maybe<Response&>) override { return kj::READY_NOW; }

  kj::HttpServerSettings settings() {
    kj::HttpServerSettings settings;
    settings.errorHandler = static_cast<kj::HttpServerErrorHandler&>(*this);
    settings.callbacks = static_cast<kj::HttpServerCallbacks&>(*this);
    settings.headerTimeout = std::chrono::seconds(k_request_time).count() * kj::SECONDS;
    settings.pipelineTimeout = settings.headerTimeout;
    settings.canceledUploadGracePeriod = 0 * kj::SECONDS;
    settings.canceledUploadGraceBytes = 0;
    return settings;
  }

  static std::shared_ptr<const std::string> text_of(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

  kj::Promise<void> send(Response& response, unsigned status, kj::StringPtr word, std::string_view type, std::shared_ptr<const std::string> body,
                         const std::string& nonce = {}) {
    kj::HttpHeaders headers(table_);
    headers.set(kj::HttpHeaderId::CONTENT_TYPE, kj::str(kj::arrayPtr(type.data(), type.size())));
    headers.add("Cache-Control", "no-store");
    headers.add("X-Content-Type-Options", "nosniff");
    headers.add("Referrer-Policy", "no-referrer");
    headers.add("Cross-Origin-Resource-Policy", "same-origin");
    if (status == 405) headers.add("Allow", "GET, HEAD");
    // Nothing but the page's own script and style runs, whatever a name says, and it speaks with nobody else.
    const std::string policy = nonce.empty() ? std::string("default-src 'none'; frame-ancestors 'none'")
                                             : fmt::format("default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; "
                                                           "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce);
    headers.add("Content-Security-Policy", kj::str(policy.c_str()));
    auto stream = response.send(status, word, headers, body->size());
    auto written = stream->write(body->data(), body->size());
    return written.attach(kj::mv(stream), std::move(body));
  }

  kj::Promise<void> accept_all() {
    return receiver_->accept().then(
        [this](kj::Own<kj::AsyncIoStream>&& stream) {
          add(kj::mv(stream));
          return accept_all();
        },
        [this](kj::Exception&& failure) {
          log_.warn("metrics: accept: {}", failure.getDescription().cStr());
          return timer_.afterDelay(1 * kj::SECONDS).then([this] { return accept_all(); });
        });
  }

  void add(kj::Own<kj::AsyncIoStream> stream) {
    while (connections_.size() >= k_connections) end(connections_.front().get());
    auto connection = std::make_shared<Connection>();
    Connection* const self = connection.get();
    connection->promise = server_.listenHttp(kj::mv(stream))
                              .exclusiveJoin(timer_.afterDelay(k_life.count() * kj::SECONDS))
                              .then([this, self] { end(self); }, [this, self](kj::Exception&&) { end(self); })  // its peer has gone, or speaks no HTTP
                              .eagerlyEvaluate(nullptr);
    connections_.push_back(std::move(connection));
  }

  /// Destroyed later, since it may be its own promise that calls.
  void end(const Connection* connection) {
    for (auto at = connections_.begin(); at != connections_.end(); ++at)
      if (at->get() == connection) {
        ended_.push_back(std::move(*at));
        connections_.erase(at);
        burial_ = kj::evalLater([this] { ended_.clear(); }).eagerlyEvaluate(nullptr);
        return;
      }
  }

  Log& log_;
  Pages pages_;
  bool only_local_names_;
  kj::Timer& timer_;
  kj::HttpHeaderTable table_;
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::HttpServer server_;
  std::deque<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> ended_;
  kj::Promise<void> burial_ = nullptr;
  kj::Promise<void> accepting_;
};

HttpServer::HttpServer(Loop& loop, Log& log, sys::UniqueFd socket, bool only_local_names, Pages pages)
    : impl_(std::make_shared<Impl>(loop, log, std::move(socket), only_local_names, std::move(pages))) {}

HttpServer::~HttpServer() = default;

}  // namespace muproc::broker
