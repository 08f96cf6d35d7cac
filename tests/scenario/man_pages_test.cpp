// The man pages tell of all verbs, options and keys that there are, and of no others, and troff has nothing to say against them.
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "broker/config/drafts.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/muctl.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"

using namespace muproc;
using namespace muproc::test;
using Catch::Matchers::Contains;
using Words = std::set<std::string>;

namespace {

std::filesystem::path man_dir() { return std::filesystem::path(bin_dir()) / ".." / "man"; }

/// Without what only troff sees.
std::string page(const std::string& name) {
  std::string text = contents(man_dir() / name);
  INFO(name);
  REQUIRE_FALSE(text.empty());
  text = std::regex_replace(text, std::regex(R"(\\f[BRI])"), "");
  text = std::regex_replace(text, std::regex(R"(\\-)"), "-");
  return std::regex_replace(text, std::regex(R"(\\e)"), "\\");
}

std::string printed_by(std::vector<std::string> words) {
  Process process = Process::program(std::move(words));
  CHECK(process.wait() == 0);
  return process.output();
}

Words all(const std::string& text, const std::string& pattern) {
  Words words;
  const std::regex form(pattern);
  for (std::sregex_iterator at(text.begin(), text.end(), form), end; at != end; ++at) words.insert((*at)[1].str());
  return words;
}

Words verbs_of(const std::string& program) {
  const std::string help = printed_by({bin_dir() + '/' + program, "--help"});
  const auto list = help.find("Subcommands:");
  REQUIRE(list != help.npos);
  return all(help.substr(list), R"(\n  ([a-z-]+) )");
}

/// What an option is called where it is told of, not where it is spoken of.
Words options_of(const std::string& program, const std::string& verb) {
  Words options = all(printed_by({bin_dir() + '/' + program, verb, "--help"}), R"(\n  (?:-[a-zA-Z],)?(--[a-z-]+))");
  options.erase("--help");
  return options;
}

/// The part of the page from `.SS "verb"` to the next.
std::string section(const std::string& text, const std::string& verb) {
  const auto at = text.find("\n.SS \"" + verb + "\"\n");
  INFO(verb);
  REQUIRE(at != text.npos);
  return text.substr(at, text.find("\n.S", at + 1) - at);
}

std::vector<std::filesystem::path> all_pages() {
  std::vector<std::filesystem::path> pages;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(man_dir()))
    if (entry.is_regular_file()) pages.push_back(entry.path());
  return pages;
}

bool is_installed(const char* program) { return ::access(("/usr/bin/" + std::string(program)).c_str(), X_OK) == 0; }

}  // namespace

TEST_CASE("man muctl and man mubroker tell of each verb with its options, and of no others", "[man]") {
  const std::string program = GENERATE("muctl", "mubroker");
  const std::string text = page("man1/" + program + ".1");
  const std::string help_part = text.substr(text.find("\n.SH \"VERBS, AS") != text.npos ? text.find("\n.SH \"VERBS, AS") : text.find("\n.SH VERBS\n"));
  const Words verbs = verbs_of(program);
  REQUIRE(verbs.size() >= 3);
  CHECK(all(help_part, "\n\\.SS \"([a-z-]+)\"\n") == verbs);
  for (const std::string& verb : verbs) {
    INFO(program << ' ' << verb);
    CHECK(all(section(help_part, verb), R"(\n\.TP\n(?:-[a-zA-Z],)?(--[a-z-]+))") == options_of(program, verb));
  }
}

TEST_CASE("man muctl and man mubroker speak of no option that there is not", "[man]") {
  const std::string program = GENERATE("muctl", "mubroker");
  Words there = {"--help", "--version", "--system", "--json", "--batch", "--fast", "--set", "--browser"};  // the program's own, and examples'
  for (const std::string& verb : verbs_of(program)) there.merge(options_of(program, verb));
  for (const std::string& option : all(page("man1/" + program + ".1"), R"([ \[(](--[a-z][a-z-]*))")) {
    INFO(program << ' ' << option);
    CHECK(there.contains(option));
  }
}

TEST_CASE("man mutop tells of each option that there is, and of no other", "[man]") {
  if (::access((bin_dir() + "/mutop").c_str(), X_OK) != 0) {
    WARN("mutop was not built: not tested");
    return;
  }
  Words there = all(printed_by({bin_dir() + "/mutop", "--help"}), R"([ ,](--[a-z][a-z-]*))");
  there.erase("--help");
  Words told;
  for (const std::string& option : all(page("man1/mutop.1"), R"(Fl (-[a-z][a-z-]+))")) told.insert('-' + option);  // as mdoc writes them
  told.erase("--help");
  CHECK(told == there);
}

TEST_CASE("man muctl has the prose of docs/muctl.md", "[man]") {
  CHECK_THAT(page("man1/muctl.1"), Contains("\n.SH \"DEAD LETTERS\"") && Contains("\n.SH \"A TRACE\"") && Contains("See A TRACE") && Contains("mailbox_near_full"));
}

TEST_CASE("man 5 muproc.toml has each key that the parser knows, and no other", "[man][config]") {
  Words known;
  for (const broker::KnownKey& key : broker::known_keys())
    if (key.is_supported) known.insert(std::string(key.name));
  const std::string text = page("man5/muproc.toml.5");
  // Entries of keys have a type, and are followed by their text on a line of its own.
  CHECK(all(text, R"(\n\.TP\n([a-z_]+)\n[^\n]*\.\n\.br\n)") == known);
}

TEST_CASE("troff has nothing to say against the man pages", "[man]") {
  const auto pages = all_pages();
  REQUIRE(pages.size() >= 3);
  if (!is_installed("groff")) WARN("no groff is installed: not tested");
  for (const auto& file : pages) {
    INFO(file.native());
    if (is_installed("groff")) {
      Process troff = Process::program({"/bin/sh", "-c", "exec groff -K utf8 -t -man -Tutf8 -ww -z \"$0\" 2>&1", file.native()});
      CHECK(troff.wait() == 0);
      CHECK(troff.output().empty());
    }
    if (is_installed("mandoc")) {
      Process mandoc = Process::program({"/bin/sh", "-c", "exec mandoc -K utf-8 -T lint -W error \"$0\" 2>&1", file.native()});
      CHECK(mandoc.wait() == 0);
      CHECK(mandoc.output().empty());
    }
  }
}

TEST_CASE("man shows the pages", "[man]") {
  if (!is_installed("man")) {
    WARN("no man is installed: not tested");
    return;
  }
  for (const auto& file : all_pages()) {
    const std::string shown = printed_by({"/bin/sh", "-c", "LC_ALL=C.UTF-8 MANWIDTH=80 man -l \"$0\" 2>&1", file.native()});
    INFO(file.native());
    CHECK_THAT(shown, Contains("NAME") && Contains("SEE ALSO"));
  }
}
