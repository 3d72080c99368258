"""A terminal of our own for `drover run -t` and `attach`: what is shown there, typing, its size, its modes."""
import fcntl
import os
import select
import struct
import subprocess
import termios
import threading
import time

from world import wait_for


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """Runs `command` as the leader of a session of its own, in a new terminal."""

    def __init__(self, command, rows=24, columns=80, **options):
        self.master, slave = os.openpty()
        set_size(self.master, rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = os.dup(slave)  # modes are looked at after the command has ended
        self.shown, self.lock = b"", threading.Lock()

        def lead():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lead, **options)
        os.close(slave)
        self.open = True
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while self.open:
            if not select.select([self.master], [], [], 0.05)[0]:
                continue
            try:
                more = os.read(self.master, 65536)
            except OSError:
                return
            with self.lock:
                self.shown += more

    def type(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def resize(self, rows, columns):
        set_size(self.master, rows, columns)

    def wait(self, text, after=0):
        """Until `text` is shown; gives where it ends."""
        want = text.encode() if isinstance(text, str) else text

        def found():
            at = self.shown.find(want, after)
            return at + len(want) if at >= 0 else 0
        try:
            return wait_for(found, f"{want!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; shown: {self.shown[after:]!r}") from None

    def ask(self, text, answer):
        """Types a line and waits for what comes of it."""
        at = len(self.shown)
        self.type(text + "\r")
        return self.wait(answer, at)

    def is_raw(self):
        return termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO) == 0

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    def wait_end(self):
        return self.process.wait(90)

    def close(self):
        """Hangs up, as the window of a terminal emulator does."""
        self.open = False
        self.reader.join()
        os.close(self.slave)
        os.close(self.master)

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.open:
            self.close()
