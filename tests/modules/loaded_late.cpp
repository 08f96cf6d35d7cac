// A module that a test loads when its system is already up, so that no zygote knows it.
#include <muproc/self.hpp>

extern "C" void loaded_late(muproc::Self&) {}
