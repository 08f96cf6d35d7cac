// docs/config.md, docs/muproc.schema.json and the parser know the same keys, and agree on defaults and examples.
//
// Tables have the parser's names: that of `log` in [system], which has a key more than a muproc's, is "system_log".
#include <capnp/compat/json.h>
#include <capnp/message.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "broker/config.hpp"
#include "broker/config/drafts.hpp"
#include "broker/spec_diff.hpp"
#include "support/catch.hpp"
#include "support/paths.hpp"

using namespace muproc;
using namespace muproc::broker;

namespace {

std::string read_page(const std::string& name) {
  std::ifstream stream(std::filesystem::path(muproc::test::examples_dir()) / ".." / "docs" / name);
  REQUIRE(stream);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A row of a table of keys.
struct Row {
  std::string table, key, type, default_value, example, text;
};

/// `literal` → literal; a default in words → nothing.
std::optional<std::string> literal_in(const std::string& cell) {
  if (cell.size() < 2 || cell.front() != '`' || cell.back() != '`') return std::nullopt;
  return cell.substr(1, cell.size() - 2);
}

std::vector<Row> rows_of_page() {
  std::vector<Row> rows;
  std::string section, table;
  std::istringstream page(read_page("config.md"));
  std::smatch match;
  const std::regex header("## `\\[(\\w+).*"), inner("`(\\w+)`:"),
      row("\\| `(\\w+)` \\| (.*?) \\| (.*?) ?\\| (`.*?`) \\| (.*) \\|");
  for (std::string line; std::getline(page, line);) {
    if (std::regex_match(line, match, header))
      table = section = match[1];
    else if (std::regex_match(line, match, inner))
      table = section == "system" ? section + '_' + match[1].str() : match[1].str();
    else if (line == "## The file")
      table = "file";
    else if (line.starts_with("## "))
      table.clear();
    else if (line.starts_with("Who it is"))
      table = "muproc";
    else if (!table.empty() && std::regex_match(line, match, row))
      rows.push_back({table, match[1], match[2], match[3], match[4], match[5]});
  }
  return rows;
}

using Keys = std::set<std::string>;  // "limits.nice"

Keys keys_of_parser() {
  Keys keys;
  for (const KnownKey& key : known_keys())
    if (key.is_supported) keys.insert(std::string(key.table) + '.' + std::string(key.name));
  return keys;
}

const std::vector<std::string> k_none;
std::vector<std::string> only_in(const Keys& these, const Keys& those) {
  std::vector<std::string> found;
  std::ranges::set_difference(these, those, std::back_inserter(found));
  return found;
}

/// A config with one key set, or left out, and whatever else it takes to be right.
std::string config_with(const std::string& table, const std::string& key, const std::optional<std::string>& value) {
  const auto has = [&](const char* name) { return key == name; };
  std::string file, system, root, sup, x = "exec = [\"x\"]\n";
  const std::string text = value ? key + " = " + *value + '\n' : "";
  if (table == "file") file = text;
  if (table == "system") system = text;
  if (table == "system_log" && value) system = "log." + text;
  if (table == "supervisor") sup = text;
  if (table == "limit" && value) sup = "limit." + text;
  if (table == "muproc")
    x = has("exec")     ? text
        : has("module") ? "entry = \"e\"\n" + text
        : has("entry")  ? "module = \"m.so\"\n" + text
        : has("spares") ? "module = \"m.so\"\nentry = \"e\"\n" + text
                        : x + text;
  for (const char* inner : {"ready", "watchdog", "backoff", "log", "mailbox", "limits"})
    if (table == inner && value) x += std::string(inner) + '.' + text;
  if (table == "sandbox") x += (has("mode") ? "" : "sandbox.mode = \"strict\"\n") + (value ? "sandbox." + text : "");
  const bool of_supervisor = table == "supervisor";
  const std::string children = of_supervisor && has("children")   ? ""
                               : of_supervisor && has("template") ? ""
                                                                  : "children = [\"x\"]\n";
  if (of_supervisor && has("template")) sup += "strategy = \"simple_one_for_one\"\n";
  if (of_supervisor && has("significant")) sup += "restart = \"transient\"\n";
  if (of_supervisor || table == "muproc")
    root = has("significant") && table == "supervisor" ? "auto_shutdown = \"any_significant\"\n" : "";
  if (table == "muproc" && has("significant"))
    sup = "auto_shutdown = \"any_significant\"\n", x += "restart = \"transient\"\n";
  std::string others;
  for (const char* name : {"feed", "book", "session", "logger"})
    if (sup.find('"' + std::string(name) + '"') != sup.npos)
      others += "[muproc." + std::string(name) + "]\nexec = [\"x\"]\n";
  const bool lists_x = !children.empty();
  return file + "[system]\n" + system + "[supervisor.root]\nchildren = [\"sup\"]\n" + root + "[supervisor.sup]\n" +
         children + sup + (lists_x ? "[muproc.x]\n" + x : "") + others;
}

SystemSpec read_right(const std::string& text) {
  ConfigResult result = parse_config(text, "/etc/muproc/test.toml");
  INFO(text << result.report);
  REQUIRE(result.system);
  return *std::move(result.system);
}

/// What a muproc's or supervisor's own specification does not say.
auto of_system(const SystemSpec& system) {
  return std::tie(system.name, system.log, system.logs.on_console, system.logs.format, system.logs.file_size.count,
                  system.logs.files, system.crash_reports, system.runtime_dir, system.metrics.text, system.metrics.is_public);
}

bool is_same(const SystemSpec& a, const SystemSpec& b) {
  return of_system(a) == of_system(b) &&
         std::ranges::all_of(diff(a, b), [](const Change& change) { return change.kind == Change::Kind::keep; });
}

/// The schema's members: a small view of JSON.
class Json {
 public:
  explicit Json(capnp::JsonValue::Reader value) : value_(value) {}
  std::optional<Json> find(std::string_view name) const {
    if (value_.isObject())
      for (const auto field : value_.getObject())
        if (std::string_view(field.getName().cStr()) == name) return Json(field.getValue());
    return std::nullopt;
  }
  Json operator[](std::string_view name) const {
    const auto found = find(name);
    INFO(name);
    REQUIRE(found);
    return *found;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto field : value_.getObject()) names.emplace_back(field.getName().cStr());
    return names;
  }
  std::vector<Json> elements() const {
    std::vector<Json> all;
    if (value_.isArray())
      for (const auto element : value_.getArray()) all.emplace_back(element);
    return all;
  }
  /// As TOML writes it.
  std::string toml() const {
    if (value_.isString()) return '"' + std::string(value_.getString().cStr()) + '"';
    if (value_.isBoolean()) return value_.getBoolean() ? "true" : "false";
    if (value_.isNumber()) return kj::str(value_.getNumber()).cStr();
    std::string text;
    for (const Json& element : elements()) text += (text.empty() ? "" : ", ") + element.toml();
    if (value_.isArray()) return '[' + text + ']';
    for (const std::string& name : names()) text += (text.empty() ? "" : ", ") + name + " = " + (*this)[name].toml();
    return text.empty() ? "{}" : "{ " + text + " }";
  }

 private:
  capnp::JsonValue::Reader value_;
};

class Schema {
 public:
  Schema() {
    const std::string text = read_page("muproc.schema.json");
    auto root = message_.initRoot<capnp::JsonValue>();
    capnp::JsonCodec().decodeRaw(kj::arrayPtr(text.data(), text.size()), root);
  }
  Json root() { return Json(message_.getRoot<capnp::JsonValue>().asReader()); }
  /// What it says of a key.
  Json key(const std::string& table, const std::string& name) {
    return table == "file" ? root()["properties"][name] : root()["$defs"][table]["properties"][name];
  }

 private:
  capnp::MallocMessageBuilder message_;
};

}  // namespace

TEST_CASE("docs/config.md lists the keys that the parser knows, table by table", "[config][docs]") {
  Keys page;
  for (const Row& row : rows_of_page()) page.insert(row.table + '.' + row.key);
  CHECK(only_in(page, keys_of_parser()) == k_none);
  CHECK(only_in(keys_of_parser(), page) == k_none);
}

TEST_CASE("each key's page row has a type, an example that is right, and a text", "[config][docs]") {
  for (const Row& row : rows_of_page()) {
    INFO(row.table << ' ' << row.key);
    CHECK_FALSE(row.type.empty());
    CHECK_FALSE(row.text.empty());
    const auto example = literal_in(row.example);
    REQUIRE(example);
    if (row.table != "file") read_right(config_with(row.table, row.key, example));  // its files are not there
  }
}

TEST_CASE("a default that the page shows is what a config without the key has", "[config][docs]") {
  int checked = 0;
  for (const Row& row : rows_of_page()) {
    const auto shown = literal_in(row.default_value);
    if (!shown) continue;
    INFO(row.table << ' ' << row.key << " = " << *shown);
    const SystemSpec without = read_right(config_with(row.table, row.key, {}));
    CHECK(is_same(without, read_right(config_with(row.table, row.key, shown))));
    // That this can fail: an example that is another value makes another system.
    const auto example = literal_in(row.example);
    if (row.table != "file" && example != shown)
      CHECK_FALSE(is_same(without, read_right(config_with(row.table, row.key, example))));
    ++checked;
  }
  CHECK(checked > 20);
}

TEST_CASE("the editors' schema has the same keys, defaults and examples as the page", "[config][docs][schema]") {
  Schema schema;
  Keys keys{"file.include"};
  for (const std::string& table : schema.root()["$defs"].names())
    for (const std::string& key : schema.root()["$defs"][table]["properties"].names()) keys.insert(table + '.' + key);
  CHECK(only_in(keys, keys_of_parser()) == k_none);
  CHECK(only_in(keys_of_parser(), keys) == k_none);
  auto top = schema.root()["properties"].names();
  std::ranges::sort(top);
  CHECK(top == std::vector<std::string>{"defaults", "include", "muproc", "supervisor", "system"});
  for (const Row& row : rows_of_page()) {
    INFO(row.table << ' ' << row.key);
    const Json key = schema.key(row.table, row.key);
    CHECK(key.find("description"));
    const auto shown = literal_in(row.default_value);
    const auto in_schema = key.find("default");
    REQUIRE(shown.has_value() == in_schema.has_value());
    if (row.table == "file") continue;
    // Not the same text, as JSON has other numbers, but the same config.
    const auto same = [&](const std::string& a, const std::string& b) {
      return is_same(read_right(config_with(row.table, row.key, a)), read_right(config_with(row.table, row.key, b)));
    };
    if (shown) CHECK(same(*shown, in_schema->toml()));
    const auto examples = key["examples"].elements();
    REQUIRE(examples.size() == 1);
    CHECK(same(*literal_in(row.example), examples[0].toml()));
  }
}

TEST_CASE("the parser takes every word that the schema offers", "[config][docs][schema]") {
  Schema schema;
  for (const Row& row : rows_of_page()) {
    const auto choices = schema.key(row.table, row.key).find("anyOf");
    if (!choices) continue;
    for (const Json& choice : choices->elements()) {
      const auto words = choice.find("enum");
      if (!words) continue;
      for (const Json& word : words->elements()) {
        const std::string text = word.toml();
        INFO(row.table << ' ' << row.key << " = " << text);
        if (text == "\"simple_one_for_one\"") continue;  // it has a template instead of children
        std::string config = config_with(row.table, row.key, text);
        if (text == "\"notify\"") config.replace(config.find("exec ="), 0, "plain = true\n");
        read_right(config);
      }
    }
  }
}
