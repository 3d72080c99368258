// A node of the simulation: jobs and the processors that serve them. Time is moved on by the caller.
//
// Under processor sharing all jobs of a station are given the same, so one number, the service that each has had, says
// how far all of them are: a job ends when that has grown by its work. Under first come, first served each of the first
// `capacity` jobs has a processor to itself and the others wait. So both are one queue in the order of the end, and an
// arrival or a departure costs O(log jobs).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace drover::simulate {

enum class Discipline : std::uint8_t { Fcfs, ProcessorSharing };

struct Resident {
  std::int64_t job = 0;
  double left = 0;     // work to do; of those in service as of when they began
  double done = 0;     // work done before it came here
  double came = 0;     // when, in seconds
  double ends_at = 0;  // on the station's clock of service
};

class Station {
 public:
  Station(Discipline discipline, double speed, double capacity)
      : discipline_(discipline), speed_(speed), capacity_(capacity) {}

  // The rest is as of `now`, which may not go back.
  void advance(double now);
  void add(std::int64_t job, double left, double done, double now);
  // When the next job ends, if nothing else happens; infinite without a job in service.
  double next_end() const;
  Resident take_ended();               // the one that next_end() told
  Resident take(std::int64_t job);     // one that leaves, with what is left of it
  double done(const Resident&) const;  // so far, here and before

  std::size_t jobs() const { return serving_.size() + waiting_.size(); }
  std::span<const Resident> serving() const { return serving_; }
  const std::deque<Resident>& waiting() const { return waiting_; }
  double busy_seconds() const { return busy_seconds_; }  // work done, in seconds of this station's processors
  double speed() const { return speed_; }
  double capacity() const { return capacity_; }
  Discipline discipline() const { return discipline_; }

 private:
  double rate() const;  // of the clock of service
  void serve(Resident resident);
  void fill();

  Discipline discipline_;
  double speed_, capacity_;
  double now_ = 0, service_ = 0, busy_seconds_ = 0;
  std::vector<Resident> serving_;  // a heap, the first end in front
  std::deque<Resident> waiting_;
};

}  // namespace drover::simulate
