// "did you mean …?", as the config's errors use it.
#pragma once

#include "wire/suggest.hpp"

namespace muproc::broker {

using wire::did_you_mean;
using wire::in_quotes;
using wire::nearest;
using wire::quoted_list;

}  // namespace muproc::broker
