#include "broker/metrics/metrics.hpp"

#include <unistd.h>

#include <utility>

#include "broker/metrics/collector.hpp"
#include "broker/metrics/listen_address.hpp"
#include "broker/metrics/open_metrics.hpp"
#include "broker/metrics/status_json.hpp"

namespace muproc::broker {

Metrics::Metrics(Core& core, std::function<std::vector<SlotIndex>()> order) : core_(core), order_(std::move(order)) {}

Metrics::~Metrics() { stop(); }

std::string Metrics::serve(const MetricsAddress& address) {
  if (address == address_ && (server_ || address.text.empty())) return {};
  stop();
  address_ = address;
  return address_.text.empty() ? std::string() : listen();
}

std::string Metrics::listen() {
  ListenAddress where;
  std::string why_not;
  sys::UniqueFd socket;
  if (parse_listen_address(address_.text, where, why_not)) try {
      socket = listen_at(where);
      why_not.clear();
    } catch (const std::exception& failure) {
      why_not = failure.what();
    }
  if (!why_not.empty()) {
    const std::string trouble = "metrics: cannot listen at " + address_.text + ": " + why_not;
    core_.log.warn("{}; it is tried again", trouble);
    retry_ = core_.loop.after(k_retry, [this] { listen(); });
    return trouble;
  }
  unix_path_ = where.path;
  core_.log.info("metrics and a status page are at {}", url_of(where, socket.get()));
  server_ = std::make_unique<HttpServer>(core_.loop, core_.log, std::move(socket), where.is_loopback && !where.is_unix(),
                                         HttpServer::Pages{[this] { return text(metrics_, open_metrics); },
                                                           [this] { return text(status_, [](SystemNumbers numbers) { return status_json(numbers); }); }});
  return {};
}

void Metrics::stop() {
  retry_.stop();
  if (server_ && !unix_path_.empty()) ::unlink(unix_path_.c_str());
  unix_path_.clear();
  server_.reset();
}

void Metrics::collect_if_stale() {
  const auto now = std::chrono::steady_clock::now();
  if (collected_ && now - *collected_ < k_fresh) return;
  numbers_ = collect(core_, order_());
  collected_ = now;
  metrics_ = status_ = nullptr;
}

std::shared_ptr<const std::string> Metrics::text(std::shared_ptr<const std::string>& kept, std::string (*render)(SystemNumbers)) {
  collect_if_stale();
  if (!kept) kept = std::make_shared<const std::string>(render(numbers_));
  return kept;
}

}  // namespace muproc::broker
