#define LEDGER_VERSION 1
#include "ledger.hpp"
