#include "broker/links.hpp"

namespace muproc::broker {

void Links::link(Pid a, Pid b, bool a_ignores_normal) {
  if (a == b) return;
  books_[a].links[b] = a_ignores_normal;
  books_[b].links.try_emplace(a, false);
}

void Links::unlink(Pid a, Pid b) {
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    if (const auto book = books_.find(from); book != books_.end()) book->second.links.erase(to);
    forget_if_empty(from);
  }
}

bool Links::monitor(Pid watcher, std::uint64_t ref, Pid target) {
  if (!books_[watcher].monitors.try_emplace(ref, target).second) return false;
  books_[target].watched_by.emplace(watcher, ref);
  return true;
}

void Links::demonitor(Pid watcher, std::uint64_t ref) {
  const auto book = books_.find(watcher);
  if (book == books_.end()) return;
  const auto monitor = book->second.monitors.find(ref);
  if (monitor == book->second.monitors.end()) return;
  const Pid target = monitor->second;
  book->second.monitors.erase(monitor);
  books_[target].watched_by.erase({watcher, ref});
  forget_if_empty(target);
  forget_if_empty(watcher);
}

Links::Mourners Links::end(Pid dead) {
  Mourners mourners;
  auto node = books_.extract(dead);
  if (node.empty()) return mourners;
  Book& book = node.mapped();
  for (const auto& [peer, ignored] : book.links) {
    Book& other = books_[peer];
    mourners.linked.push_back({peer, other.links[dead]});
    other.links.erase(dead);
    forget_if_empty(peer);
  }
  for (const auto& [watcher, ref] : book.watched_by) {
    if (watcher == dead) continue;
    mourners.watching.push_back({watcher, ref});
    books_[watcher].monitors.erase(ref);
    forget_if_empty(watcher);
  }
  for (const auto& [ref, target] : book.monitors) {
    if (target == dead) continue;
    books_[target].watched_by.erase({dead, ref});
    forget_if_empty(target);
  }
  return mourners;
}

std::vector<Pid> Links::links_of(Pid pid) const {
  std::vector<Pid> peers;
  if (const auto book = books_.find(pid); book != books_.end())
    for (const auto& [peer, ignored] : book->second.links) peers.push_back(peer);
  return peers;
}

std::vector<Pid> Links::monitors_of(Pid pid) const {
  std::vector<Pid> targets;
  if (const auto book = books_.find(pid); book != books_.end())
    for (const auto& [ref, target] : book->second.monitors) targets.push_back(target);
  return targets;
}

void Links::forget_if_empty(Pid pid) {
  if (const auto book = books_.find(pid); book != books_.end() && book->second.empty()) books_.erase(book);
}

}  // namespace muproc::broker
