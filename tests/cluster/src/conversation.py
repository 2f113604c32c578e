"""Sends numbered messages to an echo service without pause, and compares each byte that comes back.

Commands on standard input: `gap` prints the longest silence since the last `gap`, `now` the number of bytes that came
back so far, and `end` finishes and prints the result.
"""
import json
import socket
import sys
import threading
import time

PIECE = 2048
PAUSE = 0.004
PATIENCE = 60


def piece(number):
    first = number * PIECE // 8
    return b"".join(word.to_bytes(8, "big") for word in range(first, first + PIECE // 8))


class Conversation:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), PATIENCE)
        self.lock = threading.Lock()
        self.sent = self.received = 0
        self.heard_at, self.silence = time.monotonic(), 0.0
        self.failure = None
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.guard, args=(task,)) for task in (self.talk, self.listen)]
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def guard(self, task):
        try:
            task()
        except Exception as error:
            with self.lock:
                self.failure = self.failure or f"{type(error).__name__}: {error}"

    def talk(self):
        while not self.ending.is_set():
            self.socket.sendall(piece(self.sent // PIECE))
            self.sent += PIECE
            time.sleep(PAUSE)
        self.socket.shutdown(socket.SHUT_WR)

    def listen(self):
        rest = b""
        while part := self.socket.recv(65536):
            rest += part
            while len(rest) >= PIECE:
                if rest[:PIECE] != piece(self.received // PIECE):
                    raise ValueError(f"other bytes came back than were sent, at {self.received}")
                rest = rest[PIECE:]
                self.received += PIECE
            with self.lock:
                now = time.monotonic()
                self.silence = max(self.silence, now - self.heard_at)
                self.heard_at = now
        if rest or not self.ending.is_set():
            raise EOFError(f"the end came after {self.received + len(rest)} bytes")

    def gap(self):
        with self.lock:
            silence = max(self.silence, time.monotonic() - self.heard_at)
            self.silence = 0.0
        return {"seconds": silence, "failure": self.failure}

    def now(self):
        return {"received": self.received, "failure": self.failure}

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        return {"sent": self.sent, "received": self.received, "failure": self.failure}


conversation = Conversation(sys.argv[1], int(sys.argv[2]))
for line in sys.stdin:
    tell = {"gap": conversation.gap, "now": conversation.now, "end": conversation.end}[line.strip()]
    print(json.dumps(tell()), flush=True)
