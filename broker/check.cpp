#include "broker/check.hpp"

#include <variant>

#include "broker/units.hpp"

namespace muproc::broker {

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

struct CodeText {
  std::string operator()(const ModuleEntry& code) const { return code.module + ':' + code.entry; }
  std::string operator()(const Program& code) const {
    return (code.plain ? "plain program " : "program ") + joined(code.argv);
  }
  std::string operator()(Function) const { return "function"; }
};

std::string as_child(Restart restart, Stop stop, bool significant) {
  return std::string(to_string(restart)) + ", stop " + to_string(stop) + (significant ? ", significant" : "");
}

class TreeText {
 public:
  explicit TreeText(const SystemSpec& system) : system_(system) {}

  std::string text() {
    text_ = system_.name + '\n';
    add(system_.root, "", true);
    return text_;
  }

 private:
  void add(const std::string& name, const std::string& indent, bool is_last) {
    const auto* supervisor = system_.find_supervisor(name);
    text_ += indent + (is_last ? "└─ " : "├─ ") + name + "  " +
             (supervisor ? line(*supervisor) : line(*system_.find_muproc(name))) + '\n';
    if (!supervisor) return;
    const std::string below = indent + (is_last ? "   " : "│  ");
    for (const std::string& child : supervisor->children) add(child, below, &child == &supervisor->children.back());
  }

  std::string line(const SupervisorSpec& supervisor) const {
    std::string text = std::string(to_string(supervisor.strategy)) + ", limit " +
                       std::to_string(supervisor.limit.restarts) + " in " + to_string(supervisor.limit.within);
    if (supervisor.auto_shutdown != AutoShutdown::never)
      text += ", auto_shutdown " + std::string(to_string(supervisor.auto_shutdown));
    if (supervisor.name != system_.root)
      text += ", " + as_child(supervisor.restart, supervisor.stop, supervisor.significant);
    return text;
  }

  std::string line(const ChildSpec& muproc) const {
    return as_child(muproc.restart, muproc.stop, muproc.significant) + ", " + std::visit(CodeText{}, muproc.code);
  }

  const SystemSpec& system_;
  std::string text_;
};

}  // namespace

std::string describe(const SystemSpec& system) { return TreeText(system).text(); }

}  // namespace muproc::broker
