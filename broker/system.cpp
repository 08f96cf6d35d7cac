#include <muproc/system.hpp>

#include <stdexcept>

#include "broker/broker.hpp"
#include "broker/config.hpp"
#include "broker/runtime_dir.hpp"

namespace muproc {
namespace {

broker::SystemSpec load(const std::filesystem::path& config) {
  auto result = broker::load_config(config);
  if (!result.system) throw std::runtime_error(result.report);
  return *std::move(result.system);
}

/// A path that was meant as a config must not become an empty system of a strange name.
broker::SystemSpec empty_system(std::string name) {
  if (name.ends_with(".toml"))
    throw std::invalid_argument("\"" + name + "\" is no name for a system; a config is given as std::filesystem::path");
  broker::SystemSpec spec;
  spec.name = std::move(name);
  return spec;
}

broker::SystemSpec as_wished(broker::SystemSpec spec, const SystemOptions& options) {
  if (options.log) spec.log = *options.log;
  spec.logs.is_captured = options.capture_output;
  return spec;
}

}  // namespace

struct System::Impl {
  std::string name;
  broker::Broker broker;

  Impl(broker::SystemSpec spec, SystemOptions options)
      : name(spec.name),
        broker(as_wished(std::move(spec), options), {.runtime_dir = std::move(options.runtime_dir),
                                                     .module_dir = std::move(options.module_dir),
                                                     .handle_signals = options.handle_signals,
                                                     .virtual_time = options.virtual_time}) {
    if (const auto why = broker::why_no_system_name(name); !why.empty()) throw std::invalid_argument(why);
  }
};

System::System(const std::filesystem::path& config, SystemOptions options)
    : impl_(std::make_unique<Impl>(load(config), std::move(options))) {}
System::System(std::string name, Supervisor root, SystemOptions options)
    : impl_(std::make_unique<Impl>(broker::flatten(std::move(name), root), std::move(options))) {}
System::System(std::string name, SystemOptions options)
    : impl_(std::make_unique<Impl>(empty_system(std::move(name)), std::move(options))) {}
System::~System() = default;

int System::run() { return impl_->broker.run(); }
void System::stop() noexcept { impl_->broker.stop(); }
const std::string& System::name() const { return impl_->name; }

}  // namespace muproc
