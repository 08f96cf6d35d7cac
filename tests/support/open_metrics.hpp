// A strict reader of OpenMetrics text, as Prometheus and promtool are: whatever the format forbids is an error.
// https://prometheus.io/docs/specs/om/open_metrics_spec/
#pragma once

#include <cmath>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "wire/printable.hpp"

namespace muproc::test {

struct OpenMetrics {
  using Labels = std::map<std::string, std::string>;
  struct Sample {
    std::string name;
    Labels labels;
    double value;
  };
  struct Family {
    std::string name, type, unit, help;
    std::vector<Sample> samples;
  };
  std::vector<Family> families;

  const Family* find(const std::string& name) const {
    for (const Family& family : families)
      if (family.name == name) return &family;
    return nullptr;
  }
  /// Of the sample with that name and, among others, these labels; NaN when there is none.
  double value(const std::string& name, const Labels& labels = {}) const {
    for (const Family& family : families)
      for (const Sample& sample : family.samples) {
        bool has_all = sample.name == name;
        for (const auto& [key, text] : labels) {
          const auto at = sample.labels.find(key);
          has_all = has_all && at != sample.labels.end() && at->second == text;
        }
        if (has_all) return sample.value;
      }
    return std::nan("");
  }
};

namespace detail {

class OpenMetricsReader {
 public:
  explicit OpenMetricsReader(const std::string& text) : text_(text) {}

  OpenMetrics read() {
    if (!wire::is_valid_utf8(text_)) fail("no UTF-8");
    std::size_t at = 0;
    for (bool is_over = false; at < text_.size();) {
      if (is_over) fail("something after # EOF");
      const auto end = text_.find('\n', at);
      if (end == text_.npos) fail("a line without its end");
      line_ = text_.substr(at, end - at);
      at = end + 1;
      if (line_ == "# EOF")
        is_over = true;
      else if (line_.starts_with('#'))
        metadata();
      else
        sample();
      if (at == text_.size() && !is_over) fail("no # EOF at the end");
    }
    if (text_.empty()) fail("no # EOF at the end");
    for (const auto& family : result_.families) check(family);
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw std::runtime_error("OpenMetrics: " + why + ": " + line_); }

  void metadata() {
    static const std::regex form(R"re(# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*))re");
    std::smatch match;
    if (!std::regex_match(line_, match, form)) fail("no metadata");
    const std::string word = match[1], name = match[2], text = match[3];
    if (result_.families.empty() || result_.families.back().name != name) {
      if (!names_.insert(name).second) fail("a family in two places");
      result_.families.push_back({name, "", "", "", {}});
    }
    auto& family = result_.families.back();
    if (!family.samples.empty()) fail("metadata after samples");
    std::string& field = word == "TYPE" ? family.type : word == "UNIT" ? family.unit : family.help;
    if (!field.empty()) fail("metadata twice");
    field = text;
    static const std::set<std::string> types = {"counter", "gauge", "info", "unknown", "stateset", "histogram", "summary", "gaugehistogram"};
    if (word == "TYPE" && !types.contains(text)) fail("no type");
    if (word == "UNIT" && !text.empty() && !name.ends_with("_" + text)) fail("a name that does not end with its unit");
    if (word == "HELP" && std::regex_search(text, std::regex(R"(\\[^n"\\])"))) fail("a wrong escape");
  }

  void sample() {
    static const std::regex form(R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? ([^ {}]+))re");
    static const std::regex number(R"re([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?Inf|NaN)re");
    std::smatch match;
    if (!std::regex_match(line_, match, form)) fail("no sample");
    if (result_.families.empty()) fail("a sample without a family");
    auto& family = result_.families.back();
    OpenMetrics::Sample sample{match[1], labels(match[3]), 0};
    const std::string value = match[4];
    if (!std::regex_match(value, number)) fail("no number");
    sample.value = std::strtod(value.c_str(), nullptr);
    const std::string suffix = family.type == "counter" ? "_total" : family.type == "info" ? "_info" : "";
    if (sample.name != family.name + suffix) fail("a sample of another name than its family's");
    if (family.type == "counter" && !(sample.value >= 0)) fail("a counter that is negative or no number");
    if (family.type == "info" && sample.value != 1) fail("an info that is not 1");
    if (!series_.insert({sample.name, sample.labels}).second) fail("a series that is there twice");
    family.samples.push_back(std::move(sample));
  }

  OpenMetrics::Labels labels(const std::string& text) const {
    OpenMetrics::Labels labels;
    static const std::regex name("[a-zA-Z_][a-zA-Z0-9_]*");
    for (std::size_t at = 0; at < text.size();) {
      const auto equals = text.find("=\"", at);
      if (equals == text.npos) fail("no label");
      const std::string key = text.substr(at, equals - at);
      if (!std::regex_match(key, name) || key.starts_with("__")) fail("no label's name");
      std::string value;
      for (at = equals + 2;; ++at) {
        if (at >= text.size()) fail("a label without its end");
        if (text[at] == '"') break;
        if (text[at] != '\\') {
          value += text[at];
          continue;
        }
        ++at;
        if (at >= text.size() || std::string("\\\"n").find(text[at]) == std::string::npos) fail("a wrong escape");
        value += text[at] == 'n' ? '\n' : text[at];
      }
      if (!labels.emplace(key, value).second) fail("a label twice");
      ++at;
      if (at == text.size()) break;
      if (text[at] != ',' || at + 1 == text.size()) fail("labels without a comma");
      ++at;
    }
    return labels;
  }

  void check(const OpenMetrics::Family& family) const {
    if (family.type.empty() || family.help.empty()) throw std::runtime_error("OpenMetrics: no type or help: " + family.name);
    for (const std::string suffix : {"_total", "_created", "_info", "_count", "_sum", "_bucket"})
      if (names_.contains(family.name + suffix)) throw std::runtime_error("OpenMetrics: names that clash: " + family.name);
  }

  std::string text_, line_;
  OpenMetrics result_;
  std::set<std::string> names_;
  std::set<std::pair<std::string, OpenMetrics::Labels>> series_;
};

}  // namespace detail

/// Throws std::runtime_error that says what is wrong, and in which line.
inline OpenMetrics read_open_metrics(const std::string& text) { return detail::OpenMetricsReader(text).read(); }

}  // namespace muproc::test
