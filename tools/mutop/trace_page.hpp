// Messages as they pass: those that a muproc sends, and those that it is sent, decoded, and how many were missed.
#pragma once

#include <string>

#include "tools/mutop/page.hpp"

namespace muproc::mutop {

class TracePage : public Page {
 public:
  explicit TracePage(std::string name) : name_(std::move(name)) {}
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override { return {{1, "Help"}, {10, "Back"}}; }

 private:
  std::string name_;
  int from_end_ = 0;  // lines below the last one that is shown
  int shift_ = 0, height_ = 1;
};

/// Opens it, or says why there is nothing to listen to.
void open_trace(const std::string& name, Shell& shell);

}  // namespace muproc::mutop
