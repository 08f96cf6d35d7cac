// Serving the system's numbers: /metrics for monitoring systems, a status page for people.
//
// An address that cannot be had (the port is another's) is no reason for a system not to run: it is said in the log, and
// tried again. A collection is at most so fresh: whoever asks more often gets the same again, so that nobody can make the
// broker do nothing but collect.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/core.hpp"
#include "broker/metrics/http_server.hpp"
#include "broker/metrics/sample.hpp"
#include "broker/spec.hpp"

namespace muproc::broker {

class Metrics {
 public:
  static constexpr std::chrono::milliseconds k_fresh{500};
  static constexpr std::chrono::seconds k_retry{5};

  /// `order` says which slots are supervised, in start order.
  Metrics(Core& core, std::function<std::vector<SlotIndex>()> order);
  ~Metrics();

  /// Serves there from now on, and nowhere else; an empty address: nowhere. Why that cannot be now, or empty.
  std::string serve(const MetricsAddress& address);

 private:
  std::string listen();
  void stop();
  void collect_if_stale();
  std::shared_ptr<const std::string> text(std::shared_ptr<const std::string>& kept, std::string (*render)(SystemNumbers));

  Core& core_;
  std::function<std::vector<SlotIndex>()> order_;
  MetricsAddress address_;
  std::string unix_path_;  // of our own socket
  std::unique_ptr<HttpServer> server_;
  Watch retry_;
  SystemNumbers numbers_;
  std::optional<std::chrono::steady_clock::time_point> collected_;
  std::shared_ptr<const std::string> metrics_, status_;
};

}  // namespace muproc::broker
