// mutop without a terminal: takes samples and keys, draws a grid.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/mutop/muprocs_page.hpp"
#include "tools/mutop/other_tabs.hpp"
#include "tools/mutop/page.hpp"

namespace muproc::mutop {

class App : private Shell {
 public:
  App(World& world, Settings settings) : world_(world), settings_(settings) {}

  /// While paused, what is shown stays as it is.
  void update(tools::Sample sample);
  void handle(const Key& key);
  Grid draw(int rows, int columns);
  bool wants_to_quit() const { return wants_to_quit_; }

  /// What there is to do while nobody presses a key: results of actions are shown.
  void look_around();

 private:
  static constexpr int k_header_rows = 4;

  Model& model() override { return model_; }
  World& world() override { return world_; }
  const Settings& settings() const override { return settings_; }
  void open(std::unique_ptr<Page> page) override;
  void close() override { close_requested_ = true; }
  void say(std::string text, Ink ink) override;

  Page& tab();
  Page& uppermost() { return opened_.empty() ? tab() : *opened_.back(); }
  void refresh();
  void go_on();
  void show_tab(int number);
  bool handle_everywhere(const Key& key);
  bool handle_click(const Key& key);
  void draw_tabs(Grid& grid) const;
  void draw_last_row(Grid& grid);

  World& world_;
  Settings settings_;
  Model model_;
  MuprocsPage muprocs_;
  MailboxesPage mailboxes_;
  CrashesPage crashes_;
  EventsPage events_;
  int tab_ = 0;
  std::vector<std::unique_ptr<Page>> opened_, closed_;
  bool close_requested_ = false, wants_to_quit_ = false, is_paused_ = false;
  std::optional<tools::Sample> missed_;  // the latest, while paused
  std::string said_;
  Ink said_ink_ = Ink::plain;
  struct Button {
    int from, to, function;
  };
  std::vector<Button> buttons_;  // in the last row, as drawn
  int last_row_ = 0;
};

/// The first three rows: the system in all.
void draw_header(Grid& grid, const Model& model, const World& world, bool is_paused);

}  // namespace muproc::mutop
