"""The memory of our processes, and how much of the machine is used by others, as Linux tells it."""

import contextlib
import os
import re
import time
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")  # per second
KILOBYTES = re.compile(r"^(Rss|Pss):\s+(\d+) kB", re.MULTILINE)
PROGRAM = re.compile(r"gunicorn|manage\.py (\w+)|(postgres)")


def memory(*roots):
    """Return for each program below these processes how many processes it has, and their PSS and RSS in MB.

    PSS counts a page that several processes share once, divided among them.
    """
    found = defaultdict(lambda: {"processes": 0, "pss": 0, "rss": 0})
    parents = _parents()
    for root in roots:
        for pid in _tree(root, parents):
            with contextlib.suppress(OSError):
                _add(found[_program(pid, parents)], pid)
    return dict(sorted(found.items()))


def _add(row, pid):
    sizes = dict(KILOBYTES.findall((PROC / str(pid) / "smaps_rollup").read_text()))
    row["processes"] += 1
    row["pss"] += int(sizes["Pss"]) / 1024
    row["rss"] += int(sizes["Rss"]) / 1024


class Others:
    """The processes that are neither this one nor below it, since this was made."""

    def __init__(self):
        self._began_at, self._before = time.monotonic(), _used_by_others()

    def cores(self):
        """Return how many cores they kept busy."""
        return (_used_by_others() - self._before) / (time.monotonic() - self._began_at)


def _used_by_others():
    """Return their seconds of processor time since the machine's start."""
    user, nice, system, _idle, _waiting, *interrupts = map(int, (PROC / "stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / TICKS - processor_seconds(os.getpid())


def processor_seconds(*roots):
    """Return the processor time of these processes and of all below them, those that have ended included."""
    parents = _parents()
    return sum(_ticks(pid) for root in roots for pid in _tree(root, parents)) / TICKS


def _ticks(pid):
    """Return the processor time of a process and of its children that have ended."""
    with contextlib.suppress(OSError):
        return sum(map(int, _fields(pid)[11:15]))
    return 0


def _fields(pid):
    # Before them stands the name in brackets, which may hold anything.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _parents():
    """Return the parent of every process."""
    parents = {}
    for status in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid = int(status.parent.name)
            parents[pid] = int(_fields(pid)[1])
    return parents


def _tree(root, parents):
    found, layer = set(), {root}
    while layer:
        found |= layer
        layer = {pid for pid, parent in parents.items() if parent in layer}
    return found


def _program(pid, parents):
    """Return the program's name; a process that does not tell it is of its parent's program."""
    told = PROGRAM.search((PROC / str(pid) / "cmdline").read_text().replace("\0", " "))
    if told is None:
        return _program(parents[pid], parents)
    if told[0] != "gunicorn":
        return told[1] or told[2]
    parent = (PROC / str(parents[pid]) / "cmdline").read_text()
    return "web worker" if "gunicorn" in parent else "web master"
