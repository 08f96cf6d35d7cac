#include "broker/config/values.hpp"

#include <limits>
#include <string_view>

#include "broker/metrics/listen_address.hpp"
#include "broker/sandbox.hpp"
#include "shm/layout.hpp"

namespace muproc::broker {

void read_stop(Reader& reader, const Field& field, Stop& target) {
  const auto* text = field.node.as<std::string>();
  if (text && *text == "kill") {
    target = Stop::by_kill();
  } else if (text && *text == "forever") {
    target = Stop::wait_forever();
  } else if (text && !text->empty() && std::string_view("0123456789").find(text->front()) == std::string_view::npos) {
    constexpr std::string_view accepted[] = {"kill", "forever"};
    reader.error(field.node.at, in_quotes(field.key) + " is " + in_quotes(*text) +
                                    R"(, but must be "kill", "forever" or a duration such as "5s")" +
                                    did_you_mean(*text, accepted));
  } else if (const auto period = reader.duration(field)) {
    target = Stop(*period);
  }
}

void read_ring(Reader& reader, const Field& field, Bytes& target) {
  const auto size = reader.size(field);
  if (!size) return;
  const bool is_power_of_two = size->count != 0 && (size->count & (size->count - 1)) == 0;
  if (is_power_of_two && size->count >= shm::k_min_ring && size->count <= shm::k_max_ring)
    target = *size;
  else
    reader.error(field.node.at, in_quotes(field.key) + R"( must be a power of two from "4KiB" to "256MiB")");
}
static_assert(shm::k_min_ring == std::size_t{4} << 10 && shm::k_max_ring == std::size_t{256} << 20);

void read_limit(Reader& reader, const Field& field, std::optional<Bytes>& target) {
  const auto* text = field.node.as<std::string>();
  if (text && *text == "unlimited")
    target = Bytes{std::numeric_limits<std::uint64_t>::max()};
  else
    target = reader.size(field);
}

void read_interval(Reader& reader, const Field& field, std::chrono::nanoseconds& target) {
  constexpr auto k_least = std::chrono::milliseconds(10);
  const auto interval = reader.duration(field);
  if (interval && *interval < k_least)
    reader.error(field.node.at, in_quotes(field.key) + R"( must be at least "10ms")");
  else if (interval)
    target = *interval;
}

void read_seconds(Reader& reader, const Field& field, std::optional<std::chrono::seconds>& target) {
  const auto time = reader.duration(field);
  if (!time) return;
  if (time->count() == 0 || *time % std::chrono::seconds(1) != time->zero())
    return reader.error(field.node.at, in_quotes(field.key) + " must be a number of whole seconds, at least one");
  target = std::chrono::duration_cast<std::chrono::seconds>(*time);
}

void read_account(Reader& reader, const Field& field, std::string& target) {
  constexpr std::int64_t k_nobody = 0xffffffff;  // means "unchanged" to the kernel
  if (field.node.as<std::int64_t>()) {
    if (const auto number = reader.integer(field, 0, k_nobody - 1)) target = std::to_string(*number);
    return;
  }
  if (!field.node.as<std::string>()) return reader.wrong_type(field, "a name or a number");
  std::optional<std::string> name;
  read_word(reader, field, name);
  if (name) target = *std::move(name);
}

void read_accounts(Reader& reader, const Field& field, std::optional<std::vector<std::string>>& target) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return reader.wrong_type(field, "an array of names or numbers");
  target.emplace();
  for (const Node& element : *array) {
    std::string name;
    read_account(reader, {element, field.key, field.key_at}, name);
    if (!name.empty()) target->push_back(std::move(name));
  }
}

void read_names(Reader& reader, const Field& field, std::optional<std::vector<ChildName>>& target) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return reader.wrong_type(field, "an array of names");
  target.emplace();
  for (const Node& element : *array)
    if (auto name = reader.text({element, field.key, field.key_at})) target->push_back({*std::move(name), element.at});
}

void read_cpus(Reader& reader, const Field& field, std::vector<unsigned>& target) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return reader.wrong_type(field, "an array of processor numbers");
  target.clear();
  for (const Node& element : *array)
    if (const auto cpu = reader.integer({element, field.key, field.key_at}, 0, 1023))
      target.push_back(static_cast<unsigned>(*cpu));
}

// 022 is not TOML, and a plain 22 would be decimal: only forms that say that they are octal.
void read_umask(Reader& reader, const Field& field, std::optional<std::uint32_t>& target) {
  std::optional<std::int64_t> mask;
  if (const auto* text = field.node.as<std::string>();
      text && !text->empty() && text->size() <= 4 && text->find_first_not_of("01234567") == text->npos)
    mask = std::stol(*text, nullptr, 8);
  if (const auto* number = field.node.as<std::int64_t>(); number && field.node.is_octal) mask = *number;
  if (mask && *mask <= 0777)
    target = static_cast<std::uint32_t>(*mask);
  else
    reader.error(field.node.at, in_quotes(field.key) + R"( must be octal digits, such as "022" or 0o022)");
}

void read_env(Reader& reader, const Field& field, std::vector<std::pair<std::string, std::string>>& target) {
  const auto* table = reader.table(field);
  if (!table) return;
  for (const Entry& entry : *table) {
    if (entry.key.empty() || entry.key.find('=') != entry.key.npos)
      reader.error(entry.key_at, in_quotes(entry.key) + " cannot be the name of an environment variable");
    auto value = reader.text({entry.node, field.key + '.' + entry.key, entry.key_at});
    std::erase_if(target, [&](const auto& variable) { return variable.first == entry.key; });
    if (value) target.emplace_back(entry.key, *std::move(value));
  }
}

void read_children(Reader& reader, const Field& field, std::vector<ChildName>& target) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return reader.wrong_type(field, "an array of names");
  if (array->empty()) reader.error(field.node.at, "a supervisor must have at least one child");
  for (const Node& element : *array)
    if (auto name = reader.text({element, field.key, field.key_at})) target.push_back({*std::move(name), element.at});
}

void read_template(Reader& reader, const Field& field, std::vector<ChildName>& target) {
  if (auto name = reader.text(field)) target = {{*std::move(name), field.node.at}};
}

void read_exec(Reader& reader, const Field& field, std::optional<std::vector<std::string>>& target) {
  auto argv = reader.texts(field);
  if (!argv) return;
  if (argv->empty() || argv->front().empty())
    return reader.error(field.node.at, in_quotes(field.key) + " must name a program");
  argv->front() = reader.path_or_name(field, argv->front());
  target = std::move(argv);
}

void read_listen_address(Reader& reader, const Field& field, std::string& target) {
  auto text = reader.text(field);
  if (!text) return;
  constexpr std::string_view k_unix = "unix:";
  if (text->starts_with(k_unix) && text->size() > k_unix.size()) text = std::string(k_unix) + reader.path(field, text->substr(k_unix.size()));
  ListenAddress address;
  std::string why_not;
  if (parse_listen_address(*text, address, why_not))
    target = *std::move(text);
  else
    reader.error(field.node.at, in_quotes(field.key) + " is " + in_quotes(*text) + ", but " + why_not);
}

void read_system_calls(Reader& reader, const Field& field, std::vector<std::string>& target) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return reader.wrong_type(field, "an array of names of system calls");
  target.clear();
  for (const Node& element : *array) {
    const auto name = reader.text({element, field.key, field.key_at});
    if (!name) continue;
    if (is_system_call(*name)) {
      target.push_back(*name);
      continue;
    }
    const auto& known = system_call_names();
    const std::vector<std::string_view> names(known.begin(), known.end());
    reader.error(element.at, in_quotes(field.key) + " has " + in_quotes(*name) + ", which is no system call here" + did_you_mean(*name, names));
  }
}

void read_paths(Reader& reader, const Field& field, std::vector<std::string>& target) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return reader.wrong_type(field, "an array of paths");
  target.clear();
  for (const Node& element : *array) {
    const Field one{element, field.key, field.key_at};
    if (const auto text = reader.text(one)) target.push_back(reader.path(one, *text));
  }
}

void read_word(Reader& reader, const Field& field, std::optional<std::string>& target) {
  const auto text = reader.text(field);
  if (text && text->empty()) return reader.error(field.node.at, in_quotes(field.key) + " must not be empty");
  if (text) target = text;
}

}  // namespace muproc::broker
