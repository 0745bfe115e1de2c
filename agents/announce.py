"""The command hook of SessionStart and Setup: passes the payload on to Headspace and says which process it came from.

Standard library only, Python 3.8 or newer, run as a script of its own:

    python -I announce.py --settings FILE

The hook's JSON comes on stdin. Where to send it and with which token stands in our marked http entry of FILE, so that
no token is on a command line. It ends within ``DEADLINE``, always with exit status 0, and prints nothing but a 2xx
answer that is a JSON object: whatever else it printed would become part of the conversation.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

DEADLINE = 3.0
"""Seconds for everything, from the first byte of stdin to the last of the answer."""

MARK_HEADER = "X-Headspace-Install"
"""The header by which our http entries are known."""

MARK_COMMENT = "# headspace-install"
"""The comment at the end of the command entries that are ours."""

BODY_LIMIT = 16 * 1024 * 1024
ANSWER_LIMIT = 60 * 1024  # fits into a pipe: writing it cannot block half-way
ANCESTORS_LIMIT = 32
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox", "env"})
ENDED_STATES = frozenset("ZXx")


# -- processes ----------------------------------------------------------------


def _stat(pid: int) -> tuple[str, list[str]] | None:
    """Return a process's name and the fields behind it (state, parent, …); None without such a process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    # The name is in brackets and may itself hold brackets and spaces.
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()


def process_start(pid: int) -> str | None:
    """Return when a process started (clock ticks since boot); None when it is gone, a corpse, or cannot be seen.

    With the process id it names one process: a reused id has another start.
    """
    stat = _stat(pid)
    if stat is None or stat[1][0] in ENDED_STATES:
        return None
    return stat[1][19]


def process_place() -> str | None:
    """Return which process table this process sees (boot and pid namespace); None where the system does not say.

    Process ids and starts of two readers can be compared only when their places are equal.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
    return f"{boot}/{namespace.strip('pid:[]')}"


def _ancestors(pid: int) -> list[int]:
    """Return the parents of a process, the nearest first."""
    found: list[int] = []
    while len(found) < ANCESTORS_LIMIT:
        stat = _stat(pid)
        pid = int(stat[1][1]) if stat else 0
        if pid == 0:
            break
        found.append(pid)
    return found


def _is_between(pid: int) -> bool:
    """Whether a process only stands between the client and us: a shell, or the Python that runs us."""
    stat = _stat(pid)
    return stat is not None and (stat[0] in SHELLS or stat[0].startswith("python"))


def _client_pid(ancestors: list[int]) -> int | None:
    """Return the client's process: the one it names itself, else the nearest that is more than a shell."""
    named = os.environ.get("CLAUDE_PID", "")
    # A name that an outer client left in the environment of something unrelated is nobody's ancestor.
    if named.isdigit() and int(named) in ancestors:
        return int(named)
    return next((pid for pid in ancestors if not _is_between(pid)), None)


def _process_headers() -> Iterator[tuple[str, str]]:
    """Yield what says which process the client is; nothing where there is no /proc."""
    place, pid = process_place(), _client_pid(_ancestors(os.getpid()))
    start = process_start(pid) if pid else None
    if pid and start and place:
        yield "X-Headspace-Process", f"{pid} {start} {place}"
        yield "X-Headspace-Ancestors", ",".join(map(str, _ancestors(pid)))


def _pane_headers() -> Iterator[tuple[str, str]]:
    """Yield the tmux pane that the client runs in: the server's socket and the pane's id."""
    socket, pane = os.environ.get("TMUX", "").rsplit(",", 2)[0], os.environ.get("TMUX_PANE", "")
    value = f"{socket} {pane}"
    # A header holds plain text: a path that is not is left out rather than sent mangled.
    if socket and pane and value.isascii() and value.isprintable():
        yield "X-Headspace-Pane", value


# -- the marked entry ---------------------------------------------------------


def is_ours(hook: Any) -> bool:
    """Whether an entry of a settings file was written by Headspace; any JSON value may be asked about."""
    if not isinstance(hook, dict):
        return False
    headers, command = hook.get("headers"), hook.get("command")
    if isinstance(command, str):
        return command.rstrip().endswith(MARK_COMMENT)
    return isinstance(headers, dict) and any(str(name).lower() == MARK_HEADER.lower() for name in headers)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def hooks_of(document: Any) -> Iterator[Any]:
    """Yield every entry of a settings document, whatever its shape."""
    hooks = document.get("hooks") if isinstance(document, dict) else None
    for groups in hooks.values() if isinstance(hooks, dict) else ():
        for group in _each(groups):
            if isinstance(group, dict):
                yield from _each(group.get("hooks"))


def receiver_of(document: Any) -> tuple[str, dict[str, str]] | None:
    """Return the address and the headers of our first http entry; None when the document holds none."""
    for hook in hooks_of(document):
        if is_ours(hook) and hook.get("type") == "http":
            return hook["url"], dict(hook["headers"])
    return None


# -- passing on ---------------------------------------------------------------


def _object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a text is; None when it is anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _stdin() -> bytes:
    """Return the payload: up to the end of stdin, or until it is whole, for a client may leave the pipe open."""
    body = b""
    while len(body) <= BODY_LIMIT:
        chunk = os.read(0, 65536)
        body += chunk
        if not chunk or (body.rstrip().endswith(b"}") and _object(body) is not None):
            break
    return body


def _is_claude_code(payload: dict[str, Any] | None) -> bool:
    """Whether the caller is Claude Code: Cursor and Copilot run the commands of this file as well."""
    return payload is not None and "hook_event_name" in payload and "cursor_version" not in payload


def _answer(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return the body of a 2xx answer, else nothing. It asks the host itself: no proxy, no redirect."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=DEADLINE)
    connection.request("POST", parts.path or "/", body, headers)
    answer = connection.getresponse()
    said = answer.read(ANSWER_LIMIT + 1)
    return said if 200 <= answer.status < 300 and len(said) <= ANSWER_LIMIT else b""


def announce(settings: str) -> None:
    """Pass stdin on to the receiver that the settings file names, and its answer to stdout."""
    with open(settings, "rb") as file:
        receiver = receiver_of(_object(file.read()))
    body = _stdin()
    if receiver is None or not _is_claude_code(_object(body)):
        return
    url, headers = receiver
    headers.update({"Content-Type": "application/json", "Accept": "application/json"})
    headers.update(_process_headers())
    headers.update(_pane_headers())
    said = _answer(url, headers, body)
    if _object(said) is not None:
        sys.stdout.buffer.write(said)
        sys.stdout.buffer.flush()


def main() -> None:
    """Announce within the deadline; nothing that goes wrong here may reach the client."""
    # A timer and not a socket's timeout: reading stdin, looking up a name and slow answers all count.
    deadline = threading.Timer(DEADLINE, os._exit, (0,))
    deadline.daemon = True
    deadline.start()
    with suppress(BaseException):
        announce(sys.argv[sys.argv.index("--settings") + 1])
    os._exit(0)


if __name__ == "__main__":
    main()
