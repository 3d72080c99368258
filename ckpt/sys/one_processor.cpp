#include "ckpt/sys/one_processor.h"

namespace drover {

void OneProcessor::bind() {
  if (bound_ || ::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
  const int here = ::sched_getcpu();
  if (here < 0 || here >= CPU_SETSIZE) return;
  if (CPU_COUNT(&one_) == 0) CPU_SET(static_cast<unsigned>(here), &one_);
  bound_ = ::sched_setaffinity(0, sizeof one_, &one_) == 0;
}

void OneProcessor::loosen() {
  if (bound_) ::sched_setaffinity(0, sizeof before_, &before_);
  bound_ = false;
}

}  // namespace drover
