// 200 threads on condition variables: a token goes round them, each adds its number and wakes the next. Prints what the
// token has come to after each so many rounds, which is known beforehand.
#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr int kThreads = 200, kRounds = 60;

struct Ring {
  std::mutex mutex;
  std::array<std::condition_variable, kThreads> turns;
  int turn = 0, rounds = 0;
  unsigned long token = 0;
};

void pass_on(Ring& ring, int number) {
  for (int round = 0; round < kRounds; ++round) {
    std::unique_lock lock(ring.mutex);
    ring.turns[static_cast<std::size_t>(number)].wait(lock, [&] { return ring.turn == number; });
    ring.token = ring.token * 31 + static_cast<unsigned long>(number);
    ring.turn = (number + 1) % kThreads;
    if (ring.turn == 0) ++ring.rounds;
    ring.turns[static_cast<std::size_t>(ring.turn)].notify_one();
  }
}

}  // namespace

int main() {
  Ring ring;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(pass_on, std::ref(ring), i);
  for (std::thread& thread : threads) thread.join();
  unsigned long expected = 0;
  for (int i = 0; i < kThreads * kRounds; ++i) expected = expected * 31 + static_cast<unsigned long>(i % kThreads);
  std::printf("%d rounds, token %lu\n", ring.rounds, ring.token);
  return ring.rounds == kRounds && ring.token == expected ? EXIT_SUCCESS : EXIT_FAILURE;
}
