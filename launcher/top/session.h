// `drover top` on a terminal, from its first screen to its end.
#pragma once

#include <functional>
#include <string>

#include "launcher/client.h"

namespace drover::top {

struct SessionOptions {
  double interval_seconds = 1;
  std::string instance;
};

// Returns the exit code: 0, or 128+n after signal n. Throws NoDroverd if there is none to begin with.
int run_session(const std::function<Client()>& connect, const SessionOptions& options);

}  // namespace drover::top
