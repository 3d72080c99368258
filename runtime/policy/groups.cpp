#include "runtime/policy/groups.h"

#include <algorithm>
#include <cmath>

namespace drover {

GroupLayout lay_out_groups(int size, int two_level_above) {
  if (size <= two_level_above || size < 3) return {std::max(size, 1), 1};
  const int least = (size + kMaxGroupMembers - 1) / kMaxGroupMembers;
  return {size, std::max({2, least, static_cast<int>(std::lround(std::sqrt(size)))})};
}

}  // namespace drover
