// drover __complete: what the engine of complete.h needs of the cluster, and its answer in lines.
#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "launcher/client.h"
#include "launcher/completion/complete.h"

namespace drover {

namespace {

constexpr auto kDeadline = std::chrono::milliseconds(700);  // who presses Tab does not wait for longer

// Whatever hangs, be it a droverd that is stopped: nothing is offered then.
void end_in_time() {
  std::signal(SIGALRM, [](int) { ::_exit(0); });
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::sigprocmask(SIG_UNBLOCK, &alarm, nullptr);
  itimerval timer{};
  timer.it_value.tv_usec = std::chrono::microseconds(kDeadline).count();
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

std::vector<Candidate> jobs(Client client, bool all) {
  std::vector<Candidate> found;
  const Json reply = client.request({{"op", "ps"}, {"all", all}});
  for (const Json& job : reply.at("jobs")) {
    const std::string state = job.value("state", "");
    found.push_back({std::to_string(job.at("job").get<long>()),
                     fmt::format("{}{}", job.value("name", ""), state == "running" ? "" : ", " + state)});
  }
  return found;
}

std::vector<Candidate> nodes(Client client) {
  std::vector<Candidate> found;
  const Json reply = client.request({{"op", "nodes"}});
  for (const Json& node : reply.at("nodes"))
    found.push_back(
        {node.at("node").get<std::string>(), fmt::format("{}, {}", node.value("state", ""), node.value("host", ""))});
  return found;
}

std::vector<Candidate> ask(const std::string& type, const std::string& command, const std::string& at) {
  const InstancePaths paths = instance_paths();
  if (type == "NODE") return nodes(Client::connect(paths, at));
  if (type == "JOB") return jobs(Client::connect(paths, at), command == "logs");  // the only use of one that has ended
  std::vector<Candidate> found;
  for (const std::string& node : local_nodes(paths)) found.push_back({node, ""});
  return found;
}

// A name may hold anything.
std::string on_one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  return text;
}

void print(const Completion& completion) {
  switch (completion.kind) {
    case Completion::Kind::Files:
      return fmt::print("files\n");
    case Completion::Kind::Directories:
      return fmt::print("directories\n");
    case Completion::Kind::Program:
      return fmt::print("program {}\n", completion.program);
    case Completion::Kind::Words:
      break;
  }
  std::string text = "words\n";
  for (const Candidate& candidate : completion.words)
    text += fmt::format("{}\t{}\n", on_one_line(candidate.word), on_one_line(candidate.description));
  fmt::print("{}", text);
}

}  // namespace

int print_completion(const CLI::App& app, const std::vector<std::string>& words) {
  end_in_time();
  try {
    print(complete(app, words, ask));
  } catch (const std::exception&) {  // no droverd, or one that speaks otherwise: nothing to offer
  }
  return 0;
}

}  // namespace drover
