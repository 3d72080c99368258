// What the parts of a droverd know of the world around them: who is there, how to reach them, and what time it is.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ckpt/image/archive.h"
#include "runtime/control/clock.h"
#include "runtime/control/loop.h"
#include "runtime/control/paths.h"
#include "runtime/jobs/messages.h"

namespace drover {

class Cluster {
 public:
  virtual ~Cluster() = default;
  virtual int self() const = 0;
  virtual int size() const = 0;
  virtual const std::string& node_name(int rank) const = 0;
  virtual bool lost(int rank) const = 0;
  // Why what runs here can't go on with that node's processor; empty: it can.
  virtual const std::string& lacks(int rank) const = 0;
  virtual void send_bytes(int to, Msg type, std::string payload) = 0;
  virtual std::size_t backlog_bytes(int to) const = 0;
  virtual EventLoop& loop() = 0;
  virtual const InstancePaths& paths() const = 0;
  virtual std::uint64_t generation() const = 0;
  // Appends one event (a JSON object without `time_ns` and `node`, which are added) to this node's log.
  virtual void log_event(std::string json) = 0;
  // Runs `blocking` on the background thread, then `done` on the loop. What `blocking` throws is logged and `done`
  // still runs.
  virtual void in_background(std::function<void()> blocking, std::function<void()> done) = 0;

  const std::string& self_name() const { return node_name(self()); }
  int rank_of(const std::string& node) const {
    for (int rank = 0; rank < size(); ++rank)
      if (node_name(rank) == node) return rank;
    return -1;
  }
  template <class T>
  void send(int to, Msg type, const T& message) {
    send_bytes(to, type, pack(message));
  }
};

}  // namespace drover
