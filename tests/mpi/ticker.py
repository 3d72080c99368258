"""A job that leaves a trace of every step: two living copies, or a step lost, show in its file."""
import hashlib
import os
import sys

path, steps = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
digest = b""
for step in range(steps):
    for _ in range(4000):
        digest = hashlib.sha256(digest).digest()
    os.write(fd, b"%d\n" % step)
print(digest.hex())
