#include "runtime/simulate/station.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace drover::simulate {

static bool ends_later(const Resident& a, const Resident& b) { return a.ends_at > b.ends_at; }

double Station::rate() const {
  const auto jobs = static_cast<double>(serving_.size());
  return discipline_ == Discipline::Fcfs || jobs <= capacity_ ? speed_ : speed_ * capacity_ / jobs;
}

void Station::advance(double now) {
  const double passed = now - now_;
  now_ = now;
  if (serving_.empty() || passed <= 0) return;
  service_ += passed * rate();
  busy_seconds_ += passed * std::min(static_cast<double>(serving_.size()), capacity_);
}

void Station::serve(Resident resident) {
  resident.ends_at = service_ + resident.left;
  serving_.push_back(resident);
  std::push_heap(serving_.begin(), serving_.end(), ends_later);
}

void Station::fill() {
  while (!waiting_.empty() && static_cast<double>(serving_.size()) < capacity_) {
    serve(waiting_.front());
    waiting_.pop_front();
  }
}

void Station::add(std::int64_t job, double left, double done, double now) {
  advance(now);
  const Resident resident{job, left, done, now, 0};
  if (discipline_ == Discipline::Fcfs && static_cast<double>(serving_.size()) >= capacity_)
    waiting_.push_back(resident);
  else
    serve(resident);
}

double Station::next_end() const {
  if (serving_.empty()) return std::numeric_limits<double>::infinity();
  return now_ + std::max(0.0, serving_.front().ends_at - service_) / rate();
}

Resident Station::take_ended() {
  std::pop_heap(serving_.begin(), serving_.end(), ends_later);
  const Resident ended = serving_.back();
  serving_.pop_back();
  if (serving_.empty()) service_ = 0;  // so that it stays small, and exact
  fill();
  return ended;
}

double Station::done(const Resident& resident) const {
  const bool in_service = resident.ends_at > 0;
  return in_service ? resident.done + resident.left - std::max(0.0, resident.ends_at - service_) : resident.done;
}

Resident Station::take(std::int64_t job) {
  const auto same = [job](const Resident& resident) { return resident.job == job; };
  if (const auto it = std::find_if(waiting_.begin(), waiting_.end(), same); it != waiting_.end()) {
    const Resident taken = *it;
    waiting_.erase(it);
    return taken;
  }
  const auto it = std::find_if(serving_.begin(), serving_.end(), same);
  if (it == serving_.end()) throw std::logic_error("a job that is not there was to be taken");
  Resident taken = *it;
  taken.done = done(taken);
  taken.left = std::max(0.0, taken.ends_at - service_);
  serving_.erase(it);
  std::make_heap(serving_.begin(), serving_.end(), ends_later);
  fill();
  return taken;
}

}  // namespace drover::simulate
