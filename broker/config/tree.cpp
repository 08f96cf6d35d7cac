#include "broker/config/tree.hpp"

#include <algorithm>
#include <cctype>
#include <set>

#include "shm/layout.hpp"

namespace muproc::broker {

namespace {

std::string title(const SupervisorDraft& draft) { return header("supervisor", draft.spec.name); }
std::string title(const MuprocDraft& draft) { return header("muproc", draft.spec.name); }

// The names of a muproc's replicas, or its own.
std::vector<std::string> names_of(const MuprocDraft& draft) {
  if (draft.replicas == 1) return {draft.spec.name};
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < draft.replicas; ++i) names.push_back(draft.spec.name + '.' + std::to_string(i));
  return names;
}

class TreeBuilder {
 public:
  TreeBuilder(Reader& reader, const SystemDraft& drafts) : reader_(reader), drafts_(drafts), system_(drafts.spec) {}

  SystemSpec build() {
    check_system_name();
    for (const auto& draft : drafts_.supervisors) add(draft);
    for (const auto& draft : drafts_.muprocs) add(draft);
    for (const auto& draft : drafts_.supervisors) link(draft);
    for (const auto& [child, second] : second_parents_) report_second_parent(*child, *second);
    for (const auto& draft : drafts_.supervisors) look_for_cycle(draft);
    choose_root();
    for (const auto& draft : drafts_.supervisors) check_orphan(draft, draft.spec.name == system_.root);
    for (const auto& draft : drafts_.muprocs) check_orphan(draft, false);
    for (const auto& draft : drafts_.supervisors) check_significance(draft);
    for (const auto& draft : drafts_.muprocs) check_significance(draft);
    for (const auto& draft : drafts_.muprocs) check_readiness(draft);
    for (const auto& draft : drafts_.muprocs) resolve_may_send(draft);
    return std::move(system_);
  }

 private:
  struct Parent {
    const SupervisorDraft* supervisor;
    Region at;
  };

  // Names.
  void check_system_name() {
    const auto is_plain = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; };
    const std::string& name = system_.name;
    const bool fine = !name.empty() && name.size() < shm::k_name_size && std::ranges::all_of(name, is_plain) &&
                      std::isalnum(static_cast<unsigned char>(name.front()));
    if (!fine)
      reader_.error(drafts_.name_at, "a system cannot be named " + in_quotes(name) +
                                         ": it names a folder, so letters, digits, '.', '_' and '-' make it up, and at "
                                         "most 63 of them");
  }

  void check_name(const std::string& name, const Region& at) {
    const auto is_unfit = [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '/'; };
    if (name.empty() || name.front() == '.' || std::ranges::any_of(name, is_unfit))
      reader_.error(at, in_quotes(name) +
                            " cannot be a name: it must not be empty, begin with '.', or contain '/' or "
                            "control characters");
    else if (name.size() >= shm::k_name_size)
      reader_.error(at, in_quotes(name) + " is too long for a name: 63 bytes are the most");
  }

  void take_name(const std::string& name, const Region& at, const std::string& owner) {
    check_name(name, at);
    const auto [it, is_new] = owners_.emplace(name, owner);
    if (!is_new) reader_.error(at, in_quotes(name) + " is also the name of " + it->second + "; names are unique");
  }

  // Nodes.
  void add(const SupervisorDraft& draft) {
    take_name(draft.spec.name, draft.at, title(draft));
    listable_.push_back(draft.spec.name);
    system_.supervisors[draft.spec.name] = draft.spec;
    check_kind_of_children(draft);
  }

  void check_kind_of_children(const SupervisorDraft& draft) {
    const auto says = [&](std::string_view key) { return draft.places.contains(key); };
    const bool is_template = draft.spec.strategy == Strategy::simple_one_for_one;
    if (is_template && says("children"))
      reader_.error(place_of(draft, "children"), title(draft) + R"( is "simple_one_for_one": it has a "template" in place of "children")");
    else if (!is_template && says("template"))
      reader_.error(place_of(draft, "template"), R"("template" belongs to strategy = "simple_one_for_one")");
    else if (!drafts_.hidden.keys && !says(is_template ? "template" : "children"))
      reader_.error(draft.at, title(draft) + (is_template ? " has no template" : " has no children"));
  }

  void add(const MuprocDraft& draft) {
    const auto code = code_of(draft);
    const bool is_program = code && std::holds_alternative<Program>(*code);
    if (is_program && draft.spec.spares > 0 && draft.places.contains("spares"))
      reader_.error(place_of(draft, "spares"), R"("spares" belongs to "module": a program begins with an exec, so there is nothing to clone in advance)");
    listable_.push_back(draft.spec.name);
    if (draft.replicas > 1 && system_.supervisors.contains(draft.spec.name))
      reader_.error(draft.at, in_quotes(draft.spec.name) + " is also the name of " + owners_[draft.spec.name] +
                                  "; names are unique");
    for (const std::string& name : names_of(draft)) {
      take_name(name, draft.at, title(draft));
      ChildSpec& spec = system_.muprocs[name] = draft.spec;
      spec.name = name;
      if (code) spec.code = *code;
      if (is_program) spec.spares = 0;  // a default is for modules
    }
  }

  // What is said in the node's own table wins over defaults of the other kind.
  std::optional<Code> code_of(const MuprocDraft& draft) {
    const auto says = [&](std::string_view key) { return draft.places.contains(key); };
    const bool says_module = says("module") || says("entry");
    if (says("exec") && says_module) {
      const std::string_view key = says("module") ? "module" : "entry";
      reader_.error(std::max(place_of(draft, key), place_of(draft, "exec")),
                    title(draft) + " has both " + in_quotes(key) + " and \"exec\"; a muproc runs one of them");
      return std::nullopt;
    }
    if (says("exec") || (draft.exec && !says_module && !draft.module)) return program_of(draft);
    if (draft.module || draft.entry || says_module) return module_of(draft);
    if (!drafts_.hidden.keys)
      reader_.error(draft.at, title(draft) + R"( has no code: give it "module" and "entry", or "exec")");
    return std::nullopt;
  }

  std::optional<Code> program_of(const MuprocDraft& draft) {
    return draft.exec ? std::optional<Code>(Program{*draft.exec, draft.is_plain}) : std::nullopt;
  }

  std::optional<Code> module_of(const MuprocDraft& draft) {
    const auto says = [&](std::string_view key) { return draft.places.contains(key); };
    if (says("plain") && draft.is_plain)
      reader_.error(place_of(draft, "plain"), R"("plain" belongs to "exec": code in a module is never plain)");
    if (draft.module && draft.entry) return ModuleEntry{*draft.module, *draft.entry};
    if (drafts_.hidden.keys) return std::nullopt;
    if (!draft.entry && !says("entry"))
      reader_.error(place_of(draft, "module"), title(draft) + R"( has a "module" but no "entry")");
    if (!draft.module && !says("module"))
      reader_.error(place_of(draft, "entry"), title(draft) + R"( has an "entry" but no "module")");
    return std::nullopt;
  }

  // Edges.
  void link(const SupervisorDraft& draft) {
    for (const ChildName& child : draft.children) {
      const bool is_known = std::ranges::find(listable_, child.name) != listable_.end();
      if (!is_known)
        report_undefined(child);
      else if (!parents_.emplace(child.name, Parent{&draft, child.at}).second)
        second_parents_.emplace_back(&child, &draft);
      else
        append(system_.supervisors[draft.spec.name].children, child.name);
      if (is_known && draft.spec.strategy == Strategy::simple_one_for_one) check_template(child);
    }
  }

  void check_template(const ChildName& child) {
    const auto draft = std::ranges::find(drafts_.muprocs, child.name, [](const MuprocDraft& m) { return m.spec.name; });
    if (draft == drafts_.muprocs.end())
      reader_.error(child.at, in_quotes(child.name) + " is a supervisor; a template is a muproc");
    else if (draft->replicas > 1)
      reader_.error(place_of(*draft, "replicas"), in_quotes(child.name) + " is a template: it is made into as many as are asked for, and has no \"replicas\"");
  }

  void append(std::vector<std::string>& children, const std::string& name) {
    const auto draft = std::ranges::find(drafts_.muprocs, name, [](const MuprocDraft& m) { return m.spec.name; });
    if (draft == drafts_.muprocs.end()) return children.push_back(name);
    for (std::string& one : names_of(*draft)) children.push_back(std::move(one));
  }

  void report_undefined(const ChildName& child) {
    if (drafts_.hidden.nodes) return;
    std::vector<std::string_view> names(listable_.begin(), listable_.end());
    reader_.error(child.at,
                  "no muproc or supervisor is named " + in_quotes(child.name) + did_you_mean(child.name, names));
  }

  void report_second_parent(const ChildName& child, const SupervisorDraft& second) {
    const Parent& first = parents_.at(child.name);
    const std::string line = " (" + reader_.place(first.at, child.at) + ')';
    const std::string path = path_between(child.name, second.spec.name);
    if (first.supervisor == &second)
      reader_.error(child.at, in_quotes(child.name) + " is listed twice" + line);
    else if (!path.empty())
      report_cycle(child.name, child.at, path + " → " + child.name);
    else
      reader_.error(child.at, in_quotes(child.name) + " is already a child of " + title(*first.supervisor) + line);
  }

  // Each node has one parent that counts, its first; so a cycle among those is met by walking up and coming back to the
  // start. It is reported once, where its first supervisor in the file is listed as a child.
  void look_for_cycle(const SupervisorDraft& start) {
    const std::string& name = start.spec.name;
    const auto up = parents_.find(name);
    if (up == parents_.end() || in_cycle_.contains(name)) return;
    const std::string path = path_between(name, up->second.supervisor->spec.name);
    if (path.empty()) return;
    for (std::string at = name; in_cycle_.insert(at).second;) at = parents_.at(at).supervisor->spec.name;
    report_cycle(name, up->second.at, path + " → " + name);
  }

  // "top → … → bottom", if the one is the other or an ancestor of it; else empty.
  std::string path_between(const std::string& top, const std::string& bottom) const {
    std::string path = bottom;
    std::set<std::string> seen;
    for (std::string name = bottom; name != top;) {
      const auto up = parents_.find(name);
      if (up == parents_.end() || !seen.insert(name).second) return {};
      name = up->second.supervisor->spec.name;
      path = name + " → " + path;
    }
    return path;
  }

  void report_cycle(const std::string& name, const Region& at, const std::string& path) {
    reader_.error(at, in_quotes(name) + " is its own ancestor: " + path);
  }

  void choose_root() {
    std::vector<const SupervisorDraft*> tops;
    for (const auto& draft : drafts_.supervisors)
      if (!parents_.contains(draft.spec.name)) tops.push_back(&draft);
    if (drafts_.supervisors.empty() && !drafts_.hidden.nodes)
      reader_.error({}, "there is no supervisor; a system has at least one, such as [supervisor.root]");
    if (tops.empty()) return;
    const auto named = std::ranges::find(tops, "root", [](const auto* draft) { return draft->spec.name; });
    system_.root = (named == tops.end() ? tops.front() : *named)->spec.name;
  }

  template <class Draft>
  void check_orphan(const Draft& draft, bool is_root) {
    const bool may_be_listed = drafts_.hidden.nodes || drafts_.hidden.children;
    if (is_root || may_be_listed || parents_.contains(draft.spec.name)) return;
    reader_.error(draft.at, title(draft) + " is nobody's child: no supervisor lists " + in_quotes(draft.spec.name) +
                                root_hint<Draft>());
  }

  template <class Draft>
  std::string root_hint() const {
    if constexpr (std::is_same_v<Draft, MuprocDraft>) return {};
    return ", and the root is " + in_quotes(system_.root);
  }

  template <class Draft>
  void check_significance(const Draft& draft) {
    const auto up = parents_.find(draft.spec.name);
    if (!draft.spec.significant || up == parents_.end()) return;
    const auto why = why_not_significant(draft.spec.restart, up->second.supervisor->spec.auto_shutdown);
    if (!why.empty())
      reader_.error(place_of(draft, "significant"),
                    in_quotes(draft.spec.name) + " cannot be significant: " + std::string(why));
  }

  void check_readiness(const MuprocDraft& draft) {
    const auto spec = system_.muprocs.find(names_of(draft).front());
    if (spec == system_.muprocs.end()) return;
    const auto* program = std::get_if<Program>(&spec->second.code);
    const bool is_plain = program && program->plain;
    if (draft.spec.ready_on == ReadyOn::call && is_plain)
      reader_.error(place_of(draft, "ready"), title(draft) + R"( is a plain program, which cannot call ready(): ready.on can be "notify")");
    if (draft.spec.ready_on == ReadyOn::notify && !is_plain)
      reader_.error(place_of(draft, "ready"), title(draft) + R"( is no plain program: it does not notify, but can call ready(), with ready.on = "call")");
  }

  // A name of several replicas stands for all of them. One that nobody has here may be spawned later.
  void resolve_may_send(const MuprocDraft& draft) {
    if (!draft.may_send) return;
    std::vector<std::string> names;
    for (const ChildName& one : *draft.may_send) {
      const auto other = std::ranges::find(drafts_.muprocs, one.name, [](const MuprocDraft& m) { return m.spec.name; });
      if (other != drafts_.muprocs.end())
        for (std::string& name : names_of(*other)) names.push_back(std::move(name));
      else
        names.push_back(one.name);
    }
    for (const std::string& name : names_of(draft)) system_.muprocs[name].may_send = names;
  }

  Reader& reader_;
  const SystemDraft& drafts_;
  SystemSpec system_;
  std::map<std::string, std::string> owners_;  // of every name, replicas' too
  std::vector<std::string> listable_;          // names that may stand in a list of children
  std::map<std::string, Parent> parents_;      // the first one of each
  std::vector<std::pair<const ChildName*, const SupervisorDraft*>> second_parents_;
  std::set<std::string> in_cycle_;
};

}  // namespace

SystemSpec build_tree(Reader& reader, const SystemDraft& drafts) { return TreeBuilder(reader, drafts).build(); }

}  // namespace muproc::broker
