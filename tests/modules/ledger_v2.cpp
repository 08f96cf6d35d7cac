#define LEDGER_VERSION 2
#include "ledger.hpp"
