// One muproc: the last minutes as plots, what is known of it, the message in hand, what waits, its log and its last crash.
//
// It stays with the name, over restarts. What only the broker knows says when the broker said so.
#pragma once

#include <string>
#include <vector>

#include "tools/mutop/page.hpp"

namespace muproc::mutop {

class DetailPage : public Page {
 public:
  explicit DetailPage(std::string name) : name_(std::move(name)) {}
  void refresh(Shell& shell) override;
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override {
    return {{1, "Help"}, {7, "Restart"}, {8, "Stop"}, {9, "Kill"}, {10, "Back"}};
  }

 private:
  struct Line {
    std::string label, text;
    Ink ink = Ink::plain;
  };
  using Lines = std::vector<Line>;
  void add_plots(Lines& lines, const tools::MuprocView& muproc, int columns, Shell& shell) const;
  void add_facts(Lines& lines, const tools::MuprocView& muproc, Shell& shell) const;
  void add_status(Lines& lines, const tools::MuprocView& muproc, Shell& shell) const;
  void add_channels(Lines& lines, const tools::MuprocView& muproc, Shell& shell) const;
  void add_messages(Lines& lines, const tools::MuprocView& muproc, Shell& shell) const;
  void add_broker_facts(Lines& lines, Shell& shell) const;
  void add_log(Lines& lines, Shell& shell) const;
  void add_crash(Lines& lines) const;
  void act(Verb verb, Shell& shell) const;

  std::string name_;
  std::vector<std::string> crash_;  // the report's lines
  std::string crash_path_;
  std::uint64_t deaths_seen_ = ~std::uint64_t{0};
  int looks_left_ = 0;
  int refreshes_ = 0;
  int top_ = 0, height_ = 1, count_ = 0;
};

}  // namespace muproc::mutop
