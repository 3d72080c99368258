// The herd effect: with an old table all who arrive meanwhile go to the one node that was the least loaded when it was
// made (Mitzenmacher 2000). 100 nodes at a load of 0.9; without any knowledge the response is 10.
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "tests/unit/runtime/simulations.h"

namespace drover::simulate {
namespace {

double response(int choices, double age) {
  static std::map<std::pair<int, double>, double> known;
  if (const auto it = known.find({choices, age}); it != known.end()) return it->second;
  Options options = ideal("best-of-d", 100, 0.9, 200'000);
  options.policy.choices = choices;
  options.age_of_table = age;
  return known[{choices, age}] = simulate(options).mean_response;
}

// Within 5 %; where herds are large their size varies more.
TEST(OldTables, MakeHerdsOfWhoTakesTheLeastLoaded) {
  EXPECT_NEAR(response(100, 0.1), 1.55, 0.08);
  EXPECT_NEAR(response(100, 1), 3.99, 0.2);
  EXPECT_NEAR(response(100, 5), 12, 0.6);
  EXPECT_NEAR(response(100, 10), 23, 1.9);
}

TEST(OldTables, HarmTheBestOfTwoLess) {
  EXPECT_NEAR(response(2, 0.1), 2.68, 0.14);
  EXPECT_NEAR(response(2, 1), 2.96, 0.15);
  EXPECT_NEAR(response(2, 5), 3.99, 0.2);
  EXPECT_NEAR(response(2, 10), 5.08, 0.26);
}

TEST(OldTables, AreWorseThanNone) {
  const double random = simulate(ideal("random", 100, 0.9, 500'000)).mean_response;
  EXPECT_NEAR(random, 10, 0.7);
  EXPECT_LT(response(100, 0.1), response(2, 0.1));
  EXPECT_LT(response(2, 1), response(100, 1));
  EXPECT_LT(response(2, 10), random);
  EXPECT_LT(random, response(100, 10));
}

// The same tables do the default policy hardly any harm, since what it takes from them is confirmed.
TEST(OldTables, AreNoHarmToPlacesThatAreConfirmed) {
  Options options = ideal("balanced", 100, 0.9, 200'000);
  options.policy.migrate = false;
  options.age_of_table = 1;
  EXPECT_LT(simulate(options).mean_response, response(2, 0.1));
  options.age_of_table = 10;
  EXPECT_LT(simulate(options).mean_response, response(2, 0.1));
}

}  // namespace
}  // namespace drover::simulate
