"""What comes to droverd's socket that no launcher sends: bytes that are no frames, requests with anything in place of anything, other users."""
import json
import os
import random
import socket
import struct
import subprocess
import unittest

from world import USER, WorldTest

HEADER = struct.Struct("<IHHII")
MAGIC, VERSION, MOST = 0x46565244, 1, 8 << 20
REQUESTS = [
    {"op": "status"}, {"op": "ps", "all": True, "last": False}, {"op": "nodes", "own_load": True}, {"op": "ping"}, {"op": "doctor"},
    {"op": "logs", "job": 1, "stream": "stdout", "from": 0, "follow": False}, {"op": "wait", "jobs": [1]}, {"op": "kill", "job": 1, "signal": 0},
    {"op": "hold", "job": 1, "set": False}, {"op": "checkpoint", "job": 1, "path": "/nowhere/image"}, {"op": "restore", "path": "/nowhere", "node": "", "hold": False},
    {"op": "migrate", "job": 1, "node": "node1"}, {"op": "drain", "nodes": ["node9"], "set": False, "reason": ""}, {"op": "events", "follow": False, "from": 0, "until": 5},
    {"op": "past", "first": 1, "last": 9, "since_ns": 0},
    {"op": "attach", "job": 1, "received": [0, 0]}, {"op": "attach", "job": 1, "rows": 24, "columns": 80}, {"op": "signal", "signal": 0},
    {"op": "window", "rows": 1, "columns": 1}, {"op": "leave", "hang_up": False}, {"op": "down", "mode": "refuse"},
    {"op": "submit", "spec": {"argv": ["true"], "env": ["A=b"], "cwd": "/", "umask": 18, "name": "x", "limits": [[0, -1, -1]], "stdin": "", "stdout": "/dev/null",
                              "stderr": "", "attached": False, "node": "", "namespaces": True, "pinned": False, "cpus": 1, "memory_kib": 0, "priority": 0,
                              "exclude": [], "after": [[1, "any"]], "terminal": False, "rows": 24, "columns": 80, "piped": False, "script": "", "time_limit_s": 0,
                              "retries": 0, "checkpoint_every_s": 0, "hold": True, "image": "", "truncate": False, "array": [[1, 2, 1]], "array_limit": 1,
                              "array_items": []}},
]
ODD = [None, True, -1, 0, 1, 2**31, 2**63, -2**63, 2**64 - 1, 1e300, 0.5, "", "x", "%", "\0", "node1", "/", "a" * 5000, [], [1], [[]], ["x", 1], {}, {"a": 1},
       [[0, 2**62, 1]], [[1, 5, 0]], [[5, 1, 1]], ["%j"] * 50]


def frame(kind, payload, magic=MAGIC, version=VERSION, length=None):
    return HEADER.pack(magic, version, kind, len(payload) if length is None else length, 0) + payload


def mutate(value, chance):
    """The same with one part, anywhere in it, another."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {key: one for key, one in value.items() if key != name}
        return {**value, name: mutate(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.6:
        at = chance.randrange(len(value))
        return value[:at] + [mutate(value[at], chance)] + value[at + 1:]
    return chance.choice(ODD)


class ControlTest(WorldTest):
    nodes = 2

    def talk(self, data, node="node0"):
        """What droverd says to that until it closes, or is done."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(90)
            link.connect(str(self.runtime / node / "control"))
            answer = b""
            try:
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
                while more := link.recv(65536):
                    answer += more
            except (ConnectionResetError, BrokenPipeError):
                pass
            return answer

    def assert_lives(self, pids):
        self.assertEqual([self.droverd_pid(f"node{rank}") for rank in range(self.nodes)], pids)

    def test_nonsense(self):
        self.submit("sleep", "1000")
        pids = [self.droverd_pid(f"node{rank}") for rank in range(self.nodes)]
        good = json.dumps({"op": "status", "version": "0.1.0"}).encode()
        for data in (b"", b"x", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, frame(1, good)[:20], frame(1, good, magic=1), frame(1, good, version=9),
                     frame(1, b"", length=MOST + 1), frame(1, b"", length=2**32 - 1), frame(1, b""), frame(1, b"{"), frame(1, b"[]"), frame(1, b"7"),
                     frame(1, b"[" * 100000), frame(1, b'{"op":' * 50000), frame(1, b"\xff\xfe"), frame(1, b'{"op":7}'), frame(1, b'{"op":"no such"}'),
                     frame(1, json.dumps({"op": "status", "version": "9"}).encode()), frame(0, good), frame(999, good), frame(2, good),
                     frame(4, b"short"), frame(4, b"\7" + b"\0" * 15 + b"bytes"), frame(5, b"\1" + b"\0" * 7 + b"\xff" * 8), frame(6, b"\0" * 16),
                     frame(1, good) + frame(1, good), frame(1, good) + b"rubbish"):
            self.talk(data)
        self.assert_lives(pids)
        self.assertIn(b'"ok":false', self.talk(frame(1, b'{"op":"no such"}')).replace(b" ", b""))

    def test_requests_with_anything_in_place_of_anything(self):
        self.submit("sleep", "1000")
        pids = [self.droverd_pid(f"node{rank}") for rank in range(self.nodes)]
        seed = int(os.environ.get("DROVER_SEED", 1))
        chance = random.Random(seed)
        refused = 0
        for i in range(int(os.environ.get("DROVER_TRIES", 600))):
            request = {"version": "0.1.0", **mutate_request(chance)}
            answer = self.talk(frame(1, json.dumps(request).encode()), f"node{i % 2}")
            refused += b"bad-request" in answer
            if i % 100 == 99:
                self.assert_lives(pids)
        self.assert_lives(pids)
        self.assertGreater(refused, 20)
        self.assertEqual(self.drover("run", "--", "echo", "still", "here", check=0).stdout, b"still here\n")

    def test_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        other = "daemon" if USER else "nobody"
        for path in (self.directory, self.runtime.parent, self.runtime, self.runtime / "node0", self.state.parent):
            path.chmod(0o755)
        ask = ["setpriv", f"--reuid={other}", "--regid=nogroup", "--clear-groups", "--", "env", f"HOME={self.directory}/nowhere", self.bin / "drover"]

        def refused(*words):
            result = subprocess.run([*ask, "ps"], env=self.env, cwd="/", capture_output=True, text=True, timeout=90)
            self.assertEqual((result.returncode, result.stdout, result.stderr.count("\n")), (1, "", 1), result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)
        control = self.runtime / "node0" / "control"
        self.assertEqual(control.stat().st_mode & 0o777, 0o600)
        refused(f"drover: {self.runtime.parent} belongs to another user (uid {control.stat().st_uid})", "drover up")
        control.chmod(0o666)
        refused("this Drover belongs to uid", "drover up")  # droverd itself looks who it is


def mutate_request(chance):
    """One that does nothing by itself; nor may a mutation of it end the world or the job."""
    while True:
        request = mutate(chance.choice(REQUESTS), chance)
        if not isinstance(request, dict):
            continue
        if request.get("op") == "down" and request.get("mode") != "refuse" or request.get("op") == "kill" and request.get("signal") not in (0, None, "x"):
            continue
        if request.get("op") == "events" and request.get("follow") or request.get("op") == "logs" and request.get("follow"):
            continue  # these end when the caller goes
        return request


if __name__ == "__main__":
    unittest.main()
