// Numbers as OpenMetrics text and as JSON, where they may be served, and the pages and files that speak of them.
#include <capnp/compat/json.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <regex>
#include <set>

#include "broker/metrics/http_server.hpp"
#include "broker/metrics/listen_address.hpp"
#include "broker/metrics/open_metrics.hpp"
#include "broker/metrics/status_json.hpp"
#include "broker/metrics/status_page.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/muctl_json.hpp"
#include "support/open_metrics.hpp"
#include "support/paths.hpp"

using namespace muproc;
using namespace muproc::broker;
using Catch::Matchers::Contains;
using test::read_open_metrics;

namespace {

NodeNumbers a_muproc(std::string name) {
  NodeNumbers node;
  node.name = std::move(name);
  node.supervisor = "root";
  node.state = shm::SlotState::running;
  node.pid = "<0.3.1>";
  node.os_pid = 4711;
  node.restarts = 2;
  node.crashes = 1;
  node.up_seconds = 1.5;
  node.process = ProcessNumbers{0.25, 4096, 1};
  node.mailbox = MailboxNumbers{};
  node.mailbox->messages_received = 18446744073709551615u;
  node.mailbox->depth = 3;
  node.mailbox->fill = 0.5;
  return node;
}

SystemNumbers a_system(std::vector<NodeNumbers> nodes) {
  SystemNumbers numbers;
  numbers.system = "market";
  numbers.version = "1.2.3";
  numbers.start_time = 1700000000.25;
  numbers.crashes = 1;
  numbers.dead_letters[0] = 9;
  NodeNumbers root;
  root.name = "root";
  root.kind = shm::SlotKind::supervisor;
  root.state = shm::SlotState::running;
  numbers.nodes.push_back(root);
  for (auto& node : nodes) numbers.nodes.push_back(std::move(node));
  return numbers;
}

/// Every name of ours in a text that is not the end of a longer word.
std::set<std::string> names_in(const std::string& text) {
  std::set<std::string> names;
  static const std::regex name(R"(\bmuproc_[a-z_]+)");
  for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) names.insert(at->str());
  return names;
}

/// As queries say them.
std::set<std::string> sample_names() {
  std::set<std::string> names;
  for (const MetricFamily& family : metric_families())
    names.insert(std::string(family.name) + (family.type == "counter" ? "_total" : family.type == "info" ? "_info" : ""));
  return names;
}

std::string page(const std::string& name) {
  std::string text = test::contents(std::filesystem::path(test::examples_dir()) / ".." / "docs" / name);
  REQUIRE_FALSE(text.empty());
  return text;
}

std::string why_not_address(const std::string& text) {
  ListenAddress address;
  std::string why_not;
  return parse_listen_address(text, address, why_not) ? "" : why_not;
}

bool is_loopback(const std::string& text) {
  ListenAddress address;
  std::string why_not;
  REQUIRE(parse_listen_address(text, address, why_not));
  return address.is_loopback;
}

}  // namespace

TEST_CASE("a system's numbers are OpenMetrics text as the specification has it", "[metrics]") {
  const auto read = read_open_metrics(open_metrics(a_system({a_muproc("book"), a_muproc("feed")})));
  CHECK(read.families.size() == metric_families().size());
  for (const MetricFamily& family : metric_families()) {
    INFO(family.name);
    const auto* found = read.find(std::string(family.name));
    REQUIRE(found);
    CHECK(found->type == family.type);
    CHECK(found->unit == family.unit);
  }
  CHECK(read.value("muproc_system_info", {{"system", "market"}, {"version", "1.2.3"}}) == 1);
  CHECK(read.value("muproc_system_start_time_seconds") == 1700000000.25);
  CHECK(read.value("muproc_muprocs", {{"state", "running"}}) == 2);
  CHECK(read.value("muproc_muprocs", {{"state", "failed"}}) == 0);
  CHECK(read.value("muproc_supervisor_up", {{"supervisor", "root"}}) == 1);
  CHECK(read.value("muproc_dead_letters_total", {{"reason", "ended"}}) == 9);
  CHECK(read.value("muproc_up", {{"muproc", "book"}, {"supervisor", "root"}}) == 1);
  CHECK(read.value("muproc_restarts_total", {{"muproc", "book"}}) == 2);
  CHECK(read.value("muproc_crashes_total", {{"muproc", "book"}}) == 1);
  CHECK(read.value("muproc_cpu_seconds_total", {{"muproc", "book"}}) == 0.25);
  CHECK(read.value("muproc_mailbox_messages", {{"muproc", "feed"}}) == 3);
  CHECK(read.value("muproc_mailbox_fill_ratio", {{"muproc", "feed"}}) == 0.5);
}

TEST_CASE("what a muproc does not have is not told: one without a process, one without a mailbox", "[metrics]") {
  NodeNumbers down = a_muproc("down"), plain = a_muproc("plain");
  down.state = shm::SlotState::stopped;
  down.process.reset();
  down.mailbox.reset();
  down.up_seconds.reset();
  plain.kind = shm::SlotKind::plain;
  plain.mailbox.reset();
  const auto read = read_open_metrics(open_metrics(a_system({down, plain})));
  CHECK(read.value("muproc_up", {{"muproc", "down"}}) == 0);
  CHECK(std::isnan(read.value("muproc_cpu_seconds_total", {{"muproc", "down"}})));
  CHECK(std::isnan(read.value("muproc_messages_sent_total", {{"muproc", "plain"}})));
  CHECK(read.value("muproc_cpu_seconds_total", {{"muproc", "plain"}}) == 0.25);
}

TEST_CASE("names with any bytes make labels that are one, and different ones", "[metrics]") {
  const std::vector<std::string> names = {"<script>", "a\"b", "back\\slash", "}", "\xff", "\xfe", "\xc3\xa4", "a,b=\"c\"", "x\ny"};
  std::vector<NodeNumbers> nodes;
  for (const auto& name : names) nodes.push_back(a_muproc(name));
  const auto read = read_open_metrics(open_metrics(a_system(nodes)));
  CHECK(read.find("muproc_up")->samples.size() == names.size());
  CHECK(read.value("muproc_up", {{"muproc", "<script>"}}) == 1);
  CHECK(read.value("muproc_up", {{"muproc", "a\"b"}}) == 1);
  CHECK(read.value("muproc_up", {{"muproc", "\xc3\xa4"}}) == 1);
}

TEST_CASE("the strict reader refuses what OpenMetrics forbids", "[metrics]") {
  const std::string head = "# TYPE a counter\n# HELP a text\n";
  CHECK_NOTHROW(read_open_metrics(head + "a_total 1\n# EOF\n"));
  for (const char* wrong : {"a_total 1\n", "a 1\n# EOF\n", "a_total 1\na_total 2\n# EOF\n", "a_total -1\n# EOF\n", "a_total NaN\n# EOF\n", "a_total{x=\"1\"\n# EOF\n",
                            "a_total{x=\"\\t\"} 1\n# EOF\n", "a_total{x=\"1\",x=\"2\"} 1\n# EOF\n", "a_total{x=\"1\",} 1\n# EOF\n", "a_total one\n# EOF\n", "a_total 1\n# EOF\n\n",
                            "a_total 1\n# EOF", "\n# EOF\n", "# TYPE a gauge\n# EOF\n", "a_total 1\n# UNIT a seconds\n# EOF\n", "# UNIT a seconds\n# EOF\n", "a_total{x=\"\xff\"} 1\n# EOF\n"})
    CHECK_THROWS_AS(read_open_metrics(head + wrong), std::runtime_error);
}

TEST_CASE("the status page's JSON is one, whatever the names", "[metrics]") {
  const test::Json json(status_json(a_system({a_muproc("</script><script>alert(1)</script>"), a_muproc("\xff")})));
  CHECK(json["system"].text() == "market");
  CHECK(json["nodes"].size() == 3);
  CHECK(json["nodes"][1u]["name"].text() == "</script><script>alert(1)</script>");
  CHECK(json["nodes"][1u]["supervisor"].text() == "root");
  CHECK(json["nodes"][1u]["waiting"].number() == 3);
  CHECK(json["nodes"][0u]["kind"].text() == "supervisor");
}

TEST_CASE("the status page refers to nothing outside of itself, and sets names as text only", "[metrics]") {
  const std::string html(k_status_page);
  CHECK_THAT(html, Contains("{{nonce}}") && Contains("/status.json"));
  CHECK(std::regex_replace(html, std::regex("http://www\\.w3\\.org/2000/svg"), "").find("http:") == html.npos);  // but a namespace, which nobody fetches
  for (const char* forbidden : {"https:", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " src=", "@import", "url("}) CHECK(html.find(forbidden) == html.npos);
}

TEST_CASE("addresses are numbers, localhost, or Unix sockets, and it is known which ones only this machine reaches", "[metrics]") {
  for (const char* good : {"127.0.0.1:9464", "127.9.9.9:1", "[::1]:9464", "localhost:0", "unix:/run/x.sock"}) CHECK(is_loopback(good));
  for (const char* reachable : {"0.0.0.0:9464", "10.1.2.3:80", "[::]:9464", "[fe80::1]:9464", "128.0.0.1:1"}) CHECK_FALSE(is_loopback(reachable));
  for (const char* none : {"", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:9x", "example.org:80", "::1:9464", "[::1]", "[::1:9464", "127.1:80", "unix:"})
    CHECK_FALSE(why_not_address(none).empty());
  CHECK_FALSE(why_not_address("unix:/" + std::string(200, 'x')).empty());
}

TEST_CASE("a browser's names for this machine are told from others, which may only point here", "[metrics]") {
  for (const char* local : {"localhost", "localhost:9464", "127.0.0.1:9464", "127.3.2.1", "[::1]:9464", "[::1]"}) CHECK(is_local_host(local));
  for (const char* other : {"", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::1].evil", "[::2]", "128.0.0.1", "127.evil"}) CHECK_FALSE(is_local_host(other));
}

TEST_CASE("docs/metrics.md lists the metrics that there are, with type and unit", "[metrics][docs]") {
  const std::string text = page("metrics.md");
  std::set<std::string> rows;
  static const std::regex row(R"(\| `(muproc_[a-z_]+)` \| (\w+) \| (\w*) ?\| [^\n]+ \|)");
  for (std::sregex_iterator at(text.begin(), text.end(), row), end; at != end; ++at) rows.insert((*at)[1].str() + ' ' + (*at)[2].str() + ' ' + (*at)[3].str());
  std::set<std::string> there;
  for (const MetricFamily& family : metric_families()) {
    const std::string suffix = family.type == "counter" ? "_total" : family.type == "info" ? "_info" : "";
    there.insert(std::string(family.name) + suffix + ' ' + std::string(family.type) + ' ' + std::string(family.unit));
  }
  CHECK(rows == there);
}

TEST_CASE("the dashboard and the alerts ask only for metrics that there are", "[metrics][docs]") {
  for (const char* file : {"grafana-dashboard.json", "alerts.yml", "metrics.md"}) {
    const auto names = names_in(page(file));
    CHECK(names.size() > 4);
    for (const std::string& name : names) {
      INFO(file << ": " << name);
      CHECK(sample_names().contains(name));
    }
  }
}

TEST_CASE("the dashboard is JSON whose panels all ask for something", "[metrics][docs]") {
  const test::Json dashboard(page("grafana-dashboard.json"));
  const test::Json panels = dashboard["panels"];
  REQUIRE(panels.size() > 5);
  for (unsigned i = 0; i < panels.size(); ++i) {
    INFO(panels[i]["title"].text());
    REQUIRE(panels[i]["targets"].size() > 0);
    CHECK_THAT(panels[i]["targets"][0u]["expr"].text(), Contains("muproc_"));
  }
}
