"""The load: keep-alive connections that send hooks as fast as they are answered, in one cheap process of its own.

Reads what to do as JSON from its input and writes what it saw as JSON. ``python -m tests.bench.load``.
"""

import collections
import itertools
import json
import random
import selectors
import socket
import sys
import time

from tests.bench.requests import TOOLS, Conversation, Door, Pair

ANSWER_WITHIN = 30  # seconds


class Refused(Exception):
    """A hook was not answered with 2xx."""


class Client:
    """One connection: takes one of its agents at random, sends both hooks of a tool call, takes the next."""

    def __init__(self, door, pairs, numbers):
        self.socket = socket.create_connection(("127.0.0.1", door.port), timeout=ANSWER_WITHIN)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs, self._numbers = pairs, numbers
        self._waiting = []
        self._received = b""

    def send(self):
        """Send the next hook."""
        if not self._waiting:
            self._waiting = random.choice(self._pairs).requests(next(self._numbers))
        self._sent_at = time.perf_counter()
        self.socket.sendall(self._waiting.pop(0))

    @property
    def between_calls(self):
        return not self._waiting

    def answer(self):
        """Return (outcome, seconds) if the answer is there in whole, else nothing. Raises Refused."""
        piece = self.socket.recv(65536)
        if not piece:
            raise Refused("the connection was closed")
        self._received += piece
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        headers = _headers(head)
        if len(body) < int(headers.get(b"content-length", 0)):
            return None
        if not head.startswith(b"HTTP/1.1 2"):
            raise Refused(self._received.decode(errors="replace"))
        self._received = b""
        return headers[b"x-headspace-outcome"].decode(), time.perf_counter() - self._sent_at


def _headers(head):
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.lower(): text.strip() for name, _, text in lines}


class Load:
    """What the clients saw; answers after the time are counted as acknowledged, not as speed."""

    def __init__(self, seconds):
        self.began_at, self._busy_before = time.perf_counter(), time.process_time()
        self.ends_at = self.began_at + seconds
        self.seconds = seconds
        self.latencies = []
        self.outcomes = collections.Counter()
        self.acknowledged = 0

    def add(self, outcome, latency):
        self.acknowledged += 1
        if not self.over:
            self.outcomes[outcome] += 1
            self.latencies.append(latency)

    @property
    def over(self):
        return time.perf_counter() > self.ends_at

    def as_json(self):
        latencies = sorted(self.latencies)
        return json.dumps(
            {
                "acknowledged": self.acknowledged,
                "rate": len(latencies) / self.seconds,
                "p50": 1000 * latencies[len(latencies) // 2],
                "p99": 1000 * latencies[len(latencies) * 99 // 100],
                "slowest": 1000 * latencies[-1],
                "outcomes": self.outcomes,
                "client_cpu": (time.process_time() - self._busy_before) / (time.perf_counter() - self.began_at),
            }
        )


def run(clients, seconds):
    """Let the clients send and hear until the time is over and each has ended its call; return the load."""
    load = Load(seconds)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send()
        while selector.get_map():
            heard = selector.select(ANSWER_WITHIN)
            if not heard:
                raise Refused(f"no answer within {ANSWER_WITHIN} s")
            for key, _ in heard:
                _hear(key.data, load, selector)
    return load


def _hear(client, load, selector):
    answer = client.answer()
    if answer is None:
        return
    load.add(*answer)
    if load.over and client.between_calls:
        selector.unregister(client.socket)
        client.socket.close()
    else:
        client.send()


def shares(agents, clients, apart):
    """Return whose hooks each client sends: its own agents' alone, or anybody's."""
    return [agents[number::clients] if apart else agents for number in range(clients)]


def main():
    wanted = json.load(sys.stdin)
    door = Door(wanted["port"], wanted["token"])
    agents = [Conversation(*names) for names in wanted["agents"]]
    first = random.getrandbits(64) << 32
    numbers = iter(range(first, first + 2**32))
    calls = [[Pair(door, agent, tool) for tool in TOOLS] for agent in agents]
    own = shares(calls, wanted["clients"], wanted["apart"])
    clients = [Client(door, list(itertools.chain(*share)), numbers) for share in own]
    sys.stdout.write(run(clients, wanted["seconds"]).as_json())


if __name__ == "__main__":
    main()
