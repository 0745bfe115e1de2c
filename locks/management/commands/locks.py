"""`manage.py locks`: the wait trees on a terminal, and the end of who holds what others need."""

import getpass
import json
import socket
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error, connections
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from locks.errors import MonitorTimeout, sqlstate
from locks.models import Outcome
from locks.monitor import snapshot
from locks.snapshots import Lock, Snapshot
from locks.termination import Holding, look, terminate
from locks.wait_tree import Node, wait_trees

_MOST_ROWS = 200
_PIDS = range(2**31)
"""What the record of ``--terminate`` has room for, and more than any system numbers its processes with."""
# No such function, table or column.
_NOT_MIGRATED = frozenset({"42883", "42P01", "42703"})


class Command(BaseCommand):
    """Print who holds which advisory lock, and who waits behind whom."""

    help = "Show who holds which advisory lock, and who waits behind whom; end the session of one who holds some."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the ways of looking, and what belongs to ending."""
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--tree", action="store_true", help="draw who waits behind whom, once (the default)")
        way.add_argument("--json", action="store_true", help="print what GET /api/advisory-locks answers")
        way.add_argument(
            "--watch", type=_seconds, nargs="?", const=2.0, metavar="SECONDS", help="look again and again until Ctrl-C"
        )
        way.add_argument("--terminate", type=_pid, metavar="PID", help="end this session, after showing what it holds")
        parser.add_argument("--reason", default="", help="why, for the record of --terminate")
        parser.add_argument("--yes", action="store_true", help="do not ask before --terminate")
        parser.add_argument(
            "--database", choices=tuple(connections), default=DEFAULT_DB_ALIAS, help="whose locks (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print once, or until interrupted. CommandError where the database does not say."""
        using: str = options["database"]
        try:
            self._print(using, options)
        except MonitorTimeout as error:
            raise CommandError(str(error)) from error
        except Error as error:
            raise CommandError(_failure(using, error)) from error

    def _print(self, using: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(snapshot(using).as_json(), indent=2))
        elif options["watch"]:
            self._watch(using, options["watch"])
        elif options["terminate"] is not None:
            self._terminate(using, options["terminate"], options["reason"], is_sure=options["yes"])
        else:
            self._console().print(_picture(snapshot(using)))

    def _console(self) -> Console:
        # The picture ends its lines itself.
        self.stdout.ending = ""
        return Console(file=cast("IO[str]", self.stdout), highlight=False)

    def _watch(self, using: str, pause: float) -> None:
        console = self._console()
        with suppress(KeyboardInterrupt):
            while True:
                picture = _picture(snapshot(using))
                console.clear()
                console.print(picture)
                time.sleep(pause)

    def _terminate(self, using: str, pid: int, reason: str, *, is_sure: bool) -> None:
        seen = look(pid, using)
        self._console().print(Text(_holding(seen)))
        if not (seen.refusal or is_sure or self._is_wanted(pid)):
            self.stdout.write("Nothing was done.\n")
            return
        outcome = terminate(pid, by=_somebody(), reason=reason, using=using, seen=seen)
        said = f"pid {pid}: {outcome.label}."
        if outcome is not Outcome.ENDED:
            raise CommandError(said)
        self.stdout.write(f"{said}\n")

    def _is_wanted(self, pid: int) -> bool:
        self.stdout.write(f"End the session of pid {pid}? What it has not committed is lost. [y/N] ")
        self.stdout.flush()
        try:
            answer = input()
        except EOFError as error:
            raise CommandError("Nobody is there to say yes: use --yes.") from error
        return answer.strip().lower() in ("y", "yes")


def _failure(using: str, error: Error) -> str:
    """Return in one line what the database said instead of an answer, and what helps."""
    said = str(error).strip().partition("\n")[0]
    remedy = f" Migrate it first: manage.py migrate --database {using}." if sqlstate(error) in _NOT_MIGRATED else ""
    return f"The database {using!r} did not say who holds which lock: {said}{'' if said.endswith('.') else '.'}{remedy}"


def _holding(seen: Holding) -> str:
    """Return what a session holds, and since when, a line for each lock."""
    if not seen.locks:
        return f"pid {seen.pid} holds no advisory lock in this database."
    lines = [
        f"{lock.title} for {lock.since}{f', and {waiting} wait' if (waiting := len(lock.blocks)) else ''}"
        for lock in seen.locks
    ]
    return "\n  ".join([f"{seen.holder} (pid {seen.pid}) holds", *lines])


def _somebody() -> str:
    """Return who sits at this terminal, for the record."""
    try:
        name = getpass.getuser()
    # Raised where the system knows no name for the number that this process runs as.
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"


def _picture(seen: Snapshot) -> RenderableType:
    nodes = wait_trees(seen)
    trees = [_tree(node) for node in nodes if node.children]
    verdict = Text(f"{len(trees)} in the way of others", "bold red") if trees else Text("Nobody waits.", "green")
    return Group(verdict, *trees, *_table(seen), *_warnings(seen), Text(_recent(seen), "dim"))


def _tree(node: Node) -> Tree:
    top = Tree(f"[bold red]{_words(node)}[/]")
    _grow(top, node)
    return top


def _grow(branch: Tree, node: Node) -> None:
    for child in node.children:
        _grow(branch.add(_words(child)), child)


def _words(node: Node) -> str:
    session = node.session
    who = f"{session.label.holder} (pid {session.pid}{', idle in transaction' if node.is_idle else ''})"
    facts = [f"holds {lock.title} for {lock.since}" for lock in node.in_the_way or node.holds[:3]]
    if node.waits_for:
        place = f", #{node.waits_for.position} in the queue" if node.waits_for.position else ""
        facts.insert(0, f"waits for {node.waits_for.title} for {node.waits_for.since}{place}")
    return escape(f"{who} {', '.join(facts)}")


def _table(seen: Snapshot) -> Iterator[RenderableType]:
    """Yield a table of all locks, if there are any."""
    if not seen.locks:
        return
    table = Table("lock", "who", "", "for", "scope", "pid", "behind", box=None, header_style="dim")
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for lock in seen.locks[:_MOST_ROWS]:
        table.add_row(*map(escape, _cells(lock)), style="" if lock.seen.raw.granted else "yellow")
    yield table
    if len(seen.locks) > _MOST_ROWS:
        yield Text(f"and {len(seen.locks) - _MOST_ROWS} more; --json has all")


def _cells(lock: Lock) -> list[str]:
    raw = lock.seen.raw
    who = lock.session.label.holder if lock.session else "unknown"
    state = "holds" if raw.granted else f"waits #{lock.position}"
    behind = ", ".join(map(str, lock.blocked_by))
    return [lock.title, who, state, lock.since, lock.scope, str(raw.pid or "prepared"), behind]


def _warnings(seen: Snapshot) -> Iterator[Text]:
    for lock in seen.ghosts[:_MOST_ROWS]:
        yield Text(f"{lock.title}: {lock.ghost} (pid {lock.seen.raw.pid})", "blue")
    if seen.room.nominal:
        style = "bold red" if seen.room.percent >= 50 else "dim"
        yield Text(f"lock table: {seen.room.taken} of {seen.room.nominal} ({seen.room.percent:.0f} %)", style)


def _recent(seen: Snapshot) -> str:
    return "last hour: " + ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in seen.recent.items())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise ArgumentTypeError("must be a number of seconds above 0 and below an hour")
    return seconds


def _pid(text: str) -> int:
    if not text.isdecimal() or int(text) not in _PIDS:
        raise ArgumentTypeError(f"must be the number of a process, {_PIDS[0]} to {_PIDS[-1]}")
    return int(text)
