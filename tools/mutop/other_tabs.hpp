// The other tabs: who sends to whom, crash reports, events.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/mutop/page.hpp"

namespace muproc::mutop {

/// Each channel: its rate, what waits, and for how long its sender was held up.
class MailboxesPage : public Page {
 public:
  void refresh(Shell& shell) override;
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override;
  std::string input_line() const override {
    return is_typing_ ? "Filter: " + filter_ + "   Enter done  Esc clear" : "";
  }

 private:
  enum class Sort { from, to, rate, waiting, fill, oldest, blocked };
  static constexpr int k_sorts = 7;
  bool handle_input(const Key& key, Shell& shell);

  std::vector<std::size_t> rows_;  // in the sample's channels
  ListCursor cursor_;
  Sort sort_ = Sort::fill;
  bool is_inverted_ = false, is_typing_ = false;
  std::string filter_;
  int first_row_ = 0;
};

class CrashesPage : public Page {
 public:
  void refresh(Shell& shell) override;
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override { return {{1, "Help"}, {10, "Quit"}}; }

 private:
  std::vector<CrashLine> rows_;
  std::uint64_t deaths_seen_ = ~std::uint64_t{0};  // a report comes with a death, so that is when to look
  int looks_left_ = 0;
  ListCursor cursor_;
  int first_row_ = 0;
};

class EventsPage : public Page {
 public:
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override { return {{1, "Help"}, {10, "Quit"}}; }

 private:
  ListCursor cursor_;
  bool is_at_end_ = true;  // new ones are followed
  int first_row_ = 0;
};

}  // namespace muproc::mutop
