// The status page: status_page.html of this folder, put into the program when it is built.
#pragma once

#include <string_view>

namespace muproc::broker {

/// In it, {{nonce}} stands for the nonce of the response's content security policy.
extern const std::string_view k_status_page;

}  // namespace muproc::broker
