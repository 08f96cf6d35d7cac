// The book of links and monitors: who is to be told.
#include "broker/links.hpp"

#include "support/catch.hpp"

using namespace muproc;
using muproc::broker::Links;
using Peers = std::vector<Links::Peer>;
using Watchers = std::vector<Links::Watcher>;

namespace {

const Pid a(0, 1, 1), b(0, 2, 1), c(0, 3, 1);

}  // namespace

TEST_CASE("a death is told to both kinds of mourners, once", "[broker][links]") {
  Links links;
  links.link(a, b, false);
  links.monitor(c, 7, b);
  const auto mourners = links.end(b);
  CHECK(mourners.linked == Peers{{a, false}});
  CHECK(mourners.watching == Watchers{{c, 7}});
  CHECK(links.end(b).linked.empty());
  CHECK(links.links_of(a).empty());
  CHECK(links.monitors_of(c).empty());
}

TEST_CASE("a link holds in both directions, whoever made it", "[broker][links]") {
  Links links;
  links.link(a, b, false);
  CHECK(links.end(a).linked == Peers{{b, false}});
}

TEST_CASE("linking twice is linking once", "[broker][links]") {
  Links links;
  links.link(a, b, false);
  links.link(b, a, false);
  CHECK(links.end(a).linked == Peers{{b, false}});
}

TEST_CASE("one unlink ends a link that both have made", "[broker][links]") {
  Links links;
  links.link(a, b, false);
  links.link(b, a, false);
  links.unlink(b, a);
  CHECK(links.end(a).linked.empty());
}

TEST_CASE("what a linked one ignores concerns itself alone", "[broker][links]") {
  Links links;
  links.link(a, b, true);
  SECTION("its peer ends: it ignores a normal end") { CHECK(links.end(b).linked == Peers{{a, true}}); }
  SECTION("it ends itself: its peer ignores nothing") { CHECK(links.end(a).linked == Peers{{b, false}}); }
  SECTION("linking again changes its mind") {
    links.link(a, b, false);
    CHECK(links.end(b).linked == Peers{{a, false}});
  }
  SECTION("its peer's own link does not") {
    links.link(b, a, false);
    CHECK(links.end(b).linked == Peers{{a, true}});
  }
}

TEST_CASE("linking oneself is harmless", "[broker][links]") {
  Links links;
  links.link(a, a, false);
  CHECK(links.links_of(a).empty());
  CHECK(links.end(a).linked.empty());
}

TEST_CASE("monitors stack, and each brings its notice", "[broker][links]") {
  Links links;
  CHECK(links.monitor(a, 1, b));
  CHECK(links.monitor(a, 2, b));
  CHECK_FALSE(links.monitor(a, 2, c));
  links.link(a, b, false);
  const auto mourners = links.end(b);
  CHECK(mourners.watching == Watchers{{a, 1}, {a, 2}});
  CHECK(mourners.linked == Peers{{a, false}});
}

TEST_CASE("a monitor that was taken back brings nothing", "[broker][links]") {
  Links links;
  links.monitor(a, 1, b);
  links.monitor(a, 2, b);
  links.demonitor(a, 1);
  links.demonitor(a, 1);
  links.demonitor(c, 5);
  CHECK(links.end(b).watching == Watchers{{a, 2}});
}

TEST_CASE("a dead watcher is told nothing", "[broker][links]") {
  Links links;
  links.monitor(a, 1, b);
  links.monitor(a, 2, a);
  links.link(a, c, false);
  links.end(a);
  CHECK(links.end(b).watching.empty());
  CHECK(links.end(c).linked.empty());
}

TEST_CASE("whatever was linked and monitored, nothing is left of it when all is taken back or has ended",
          "[broker][links][otp][list_cleanup]") {
  Links links;
  links.monitor(a, 1, b);
  links.monitor(a, 2, b);
  links.monitor(c, 1, c);
  links.link(a, b, false);
  links.link(b, c, true);
  links.link(c, c, false);
  SECTION("taken back") {
    links.demonitor(a, 1);
    links.demonitor(a, 2);
    links.demonitor(c, 1);
    links.unlink(b, a);
    links.unlink(b, c);
  }
  SECTION("the watched ones end first") {
    links.end(b);
    CHECK(links.monitors_of(a).empty());
    CHECK(links.links_of(a).empty());
    links.end(c);
  }
  SECTION("the watcher ends first") {
    links.end(a);
    CHECK(links.links_of(b) == std::vector{c});
    links.end(c);
  }
  links.end(b);
  CHECK(links.empty());
}
