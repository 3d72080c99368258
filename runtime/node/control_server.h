// droverd's side of the control socket: one object per launcher, local or relayed from another rank, and the operations
// of runtime/control/PROTOCOL.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/control/client_message.h"
#include "runtime/control/frame_socket.h"
#include "runtime/jobs/background.h"
#include "runtime/jobs/event_reader.h"
#include "runtime/jobs/job_archive.h"
#include "runtime/jobs/origin.h"

namespace drover {

class ControlServer;

std::string no_terminal(std::int64_t job);  // why nobody can attach to it

// One launcher's connection: what it sent arrives in receive(), what it is to get goes through its channel, whether
// that is a local socket or a relay to the rank it is connected to.
class ClientConnection : public Attachment {
 public:
  struct Channel {
    std::function<void(ClientMessage, std::string)> send;
    std::function<std::size_t()> backlog_bytes;  // sent, and on this host still
  };
  ClientConnection(ControlServer& server, Channel channel) : server_(server), channel_(std::move(channel)) {}
  ~ClientConnection() override;

  void receive(Frame&& frame);
  void send(ClientMessage type, std::string payload) { channel_.send(type, std::move(payload)); }
  std::size_t backlog_bytes() const { return channel_.backlog_bytes(); }
  void reply(const nlohmann::json& body);
  void refuse(const std::string& code, const std::string& error);
  void item(const nlohmann::json& body);

  void output(int stream, std::uint64_t offset, const std::string& bytes) override;
  void output_end(int stream, std::uint64_t offset) override;
  void input_ack(int stream, std::uint64_t offset) override;
  void ended(const nlohmann::json& job) override;
  void dropped(const std::string& why) override;
  void notice(std::int64_t job, const std::string& text) override;

  std::int64_t attached_job = 0;
  std::uint64_t id = 0;  // of a relayed one, or of this server's for relaying on
  int relayed_to = -1;   // every further frame goes to that rank
  std::weak_ptr<bool> alive() const { return alive_; }

 private:
  ControlServer& server_;
  Channel channel_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Of one who reads what a job has written.
struct LogView {
  std::int64_t job = 0;
  int stream = 1;  // 1 stdout, 2 stderr
  std::string path;
  bool follow = false;
};

// Of one who goes through the archive.
struct PastView {
  ArchiveSearch search;
  std::vector<std::int64_t> blocks;  // still to be searched, the next one last
};

// What the operations need of their node.
struct ControlActions {
  std::function<nlohmann::json()> status;
  std::function<nlohmann::json()> nodes;
  std::function<nlohmann::json()> local_jobs;  // of this node: {"jobs": [JOB], "placed": [...]}
  std::function<void(nlohmann::json question, std::function<void(std::vector<nlohmann::json>)>)>
      gather;  // every rank's answer
  std::function<void(int rank, const MoveRequest&, std::function<void(const nlohmann::json&)>)>
      migrate;  // at the job's place
  std::function<void(const std::string& mode, std::function<void(const nlohmann::json&)>)> down;
  std::function<void(std::function<void(const nlohmann::json&)>)> ping;
};

class ControlServer {
 public:
  ControlServer(Cluster& cluster, OriginJobs& origin, ControlActions actions);
  ~ControlServer();

  void listen(const std::string& path);
  void handle_relay(int from, Msg type, const RelayFrame& frame);
  void rank_lost(int rank);

  // Called by connections.
  void request(ClientConnection& client, const nlohmann::json& request);
  void stream(ClientConnection& client, const Frame& frame);
  void relay(ClientConnection& client, const Frame& frame);

 private:
  friend class ClientConnection;
  struct Local {
    std::unique_ptr<ClientConnection> client;
    std::unique_ptr<FrameSocket> socket;
  };
  using PastJobs = std::map<std::int64_t, nlohmann::json>;  // JOBs, by id
  using Handler = void (ControlServer::*)(ClientConnection&, const nlohmann::json&);

  void accept();
  void closed(std::uint64_t id);
  std::string place_of(const OriginJob& job) const;  // "" while it has none
  void refuse_after(ClientConnection&, std::int64_t id);
  void submit(ClientConnection&, const nlohmann::json&);
  void submit_checked(ClientConnection&, JobSpec spec, bool follows);
  void attach(ClientConnection&, const nlohmann::json&);
  void begin_terminal(ClientConnection&, std::int64_t job, bool follows);
  void attach_viewer(ClientConnection&, OriginJob&, const nlohmann::json&);
  void window(ClientConnection&, const nlohmann::json&);
  void leave(ClientConnection&, const nlohmann::json&);
  void ps(ClientConnection&, const nlohmann::json&);
  void nodes(ClientConnection&, const nlohmann::json&);
  void status(ClientConnection&, const nlohmann::json&);
  void logs(ClientConnection&, const nlohmann::json&);
  void past(ClientConnection&, const nlohmann::json&);
  void wait(ClientConnection&, const nlohmann::json&);
  void wait_elsewhere(ClientConnection&, const std::vector<std::int64_t>& ids, const PastJobs& past);
  void kill(ClientConnection&, const nlohmann::json&);
  void hold(ClientConnection&, const nlohmann::json&);
  void checkpoint(ClientConnection&, const nlohmann::json&);
  void restore(ClientConnection&, const nlohmann::json&);
  void signal(ClientConnection&, const nlohmann::json&);
  void migrate(ClientConnection&, const nlohmann::json&);
  void events(ClientConnection&, const nlohmann::json&);
  void down(ClientConnection&, const nlohmann::json&);
  void doctor(ClientConnection&, const nlohmann::json&);
  void drain(ClientConnection&, const nlohmann::json&);
  void ping(ClientConnection&, const nlohmann::json&);

  // Finds the job's origin: here → `local`, elsewhere → the request is relayed there; in the archive → `past`, or
  // refused without it; nowhere → refused.
  void at_origin(ClientConnection& client, const nlohmann::json& request, std::int64_t job,
                 const std::function<void(ClientConnection&, OriginJob&)>& local,
                 const std::function<void(ClientConnection&, const nlohmann::json&)>& past = {});
  // Those of `ids` that are in the archive.
  void read_past(ClientConnection& client, std::vector<std::int64_t> ids, std::function<void(const PastJobs&)> done);
  void send_past(ClientConnection& client, const std::shared_ptr<PastView>& view);
  void compare_clocks(ClientConnection& client, const std::shared_ptr<std::vector<nlohmann::json>>& findings);
  void send_log(const std::weak_ptr<bool>& alive, ClientConnection& client, const LogView& view, std::uint64_t offset);
  void send_events(ClientConnection& client, const std::shared_ptr<EventReader>& reader, bool follow);
  // Calls when the launcher has read most of what it was sent; never if it goes away.
  void when_room(ClientConnection& client, const std::function<void()>& next);

  Cluster& cluster_;
  OriginJobs& origin_;
  ControlActions actions_;
  UniqueFd listener_;
  std::string path_;
  std::map<std::uint64_t, Local> clients_;
  std::map<std::pair<int, std::uint64_t>, std::unique_ptr<ClientConnection>> relayed_;  // served for another rank
  std::vector<Local> retired_;
  std::uint64_t next_client_ = 1;
  std::unique_ptr<Background> images_;  // reads them: a large one would keep the event log waiting; made when needed
};

}  // namespace drover
