#include "tools/mutop/rows.hpp"

#include <algorithm>
#include <map>

namespace muproc::mutop {
namespace {

using tools::MuprocView;
using tools::Snapshot;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

// A supervisor's parent is another one and so on up to a root. Memory that says otherwise must not lead in circles.
constexpr int k_max_depth = 256;

const MuprocView* parent_of(const Snapshot& now, const MuprocView& muproc) {
  return muproc.parent == tools::k_no_parent ? nullptr : now.at_slot(muproc.parent);
}

bool is_below(const Snapshot& now, const MuprocView& muproc, const std::string& supervisor) {
  const MuprocView* at = &muproc;
  for (int depth = 0; at && depth < k_max_depth; ++depth, at = parent_of(now, *at))
    if (at->name == supervisor) return true;
  return false;
}

class Tree {
 public:
  Tree(const Model& model, const TableOptions& options, const std::vector<bool>& is_wanted, bool ascii)
      : now_(model.now()), options_(options), ascii_(ascii), is_shown_(is_wanted), is_drawn_(is_wanted.size()) {
    for (std::size_t i = 0; i < now_.muprocs.size(); ++i) {
      const MuprocView* parent = parent_of(now_, now_.muprocs[i]);
      parent ? children_[parent->slot].push_back(i) : roots_.push_back(i);
      // Whoever is wanted is shown with those above it.
      const MuprocView* above = parent;
      for (int depth = 0; is_wanted[i] && above && depth < k_max_depth; ++depth, above = parent_of(now_, *above))
        is_shown_[index_of(*above)] = true;
    }
  }

  std::vector<Row> rows() {
    for (const std::size_t root : roots_) draw(root, "", "", 0);
    // Those who are in a circle are below no root, and are shown all the same.
    for (std::size_t i = 0; i < now_.muprocs.size(); ++i)
      if (is_shown_[i] && !is_drawn_[i] && !is_hidden(i)) rows_.push_back({i, "", false, false});
    return std::move(rows_);
  }

 private:
  std::size_t index_of(const MuprocView& muproc) const {
    return static_cast<std::size_t>(&muproc - now_.muprocs.data());
  }

  bool is_hidden(std::size_t index) const {
    const MuprocView* above = parent_of(now_, now_.muprocs[index]);
    for (int depth = 0; above && depth < k_max_depth; ++depth, above = parent_of(now_, *above))
      if (options_.folded.contains(above->name)) return true;
    return false;
  }

  void draw(std::size_t index, const std::string& branch, const std::string& below, int depth) {
    if (!is_shown_[index] || is_drawn_[index]) return;
    is_drawn_[index] = true;
    const MuprocView& muproc = now_.muprocs[index];
    std::vector<std::size_t> shown;
    if (const auto found = children_.find(muproc.slot); found != children_.end())
      std::copy_if(found->second.begin(), found->second.end(), std::back_inserter(shown),
                   [this](std::size_t child) { return is_shown_[child]; });
    const bool is_folded = options_.folded.contains(muproc.name) && !shown.empty();
    rows_.push_back({index, branch, !shown.empty(), is_folded});
    if (is_folded || depth == k_max_depth) return;
    for (const std::size_t child : shown) {
      const bool is_last = child == shown.back();
      draw(child, below + (ascii_ ? (is_last ? "`- " : "|- ") : (is_last ? "└─ " : "├─ ")),
           below + (is_last  ? "   "
                    : ascii_ ? "|  "
                             : "│  "),
           depth + 1);
    }
  }

  const Snapshot& now_;
  const TableOptions& options_;
  bool ascii_;
  std::vector<bool> is_shown_, is_drawn_;
  std::vector<std::size_t> roots_;
  std::map<std::uint32_t, std::vector<std::size_t>> children_;
  std::vector<Row> rows_;
};

std::vector<Row> sorted(const Model& model, const TableOptions& options, const std::vector<bool>& is_wanted) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < is_wanted.size(); ++i)
    if (is_wanted[i]) rows.push_back({i, "", false, false});
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    const int order = compare(model.subject(a.index), model.subject(b.index), options.sort);
    return options.is_inverted ? order > 0 : order < 0;
  });
  return rows;
}

}  // namespace

bool fits(std::string_view name, std::string_view filter) {
  const std::string haystack = lower(name), parts = lower(filter);
  bool has_parts = false;
  for (std::size_t begin = 0; begin <= parts.size();) {
    const std::size_t end = std::min(parts.find('|', begin), parts.size());
    if (end > begin) {
      has_parts = true;
      if (haystack.find(parts.substr(begin, end - begin)) != haystack.npos) return true;
    }
    begin = end + 1;
  }
  return !has_parts;
}

std::vector<Row> rows_of(const Model& model, const TableOptions& options, bool ascii) {
  if (model.is_empty()) return {};
  std::vector<bool> is_wanted;
  for (std::size_t i = 0; i < model.now().muprocs.size(); ++i) {
    const MuprocView& muproc = model.now().muprocs[i];
    is_wanted.push_back(fits(muproc.name, options.filter) &&
                        (options.user.empty() || model.sample().muprocs[i].user == options.user) &&
                        (options.supervisor.empty() || is_below(model.now(), muproc, options.supervisor)));
  }
  return options.is_tree ? Tree(model, options, is_wanted, ascii).rows() : sorted(model, options, is_wanted);
}

std::optional<std::size_t> find_row(const Model& model, const std::vector<Row>& rows, std::string_view text,
                                    std::size_t from) {
  if (text.empty()) return std::nullopt;
  for (std::size_t step = 0; step < rows.size(); ++step) {
    const std::size_t row = (from + step) % rows.size();
    if (lower(model.now().muprocs[rows[row].index].name).find(lower(text)) != std::string::npos) return row;
  }
  return std::nullopt;
}

}  // namespace muproc::mutop
