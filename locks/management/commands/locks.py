"""`manage.py locks`: the wait trees on a terminal."""

import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from locks.errors import MonitorTimeout
from locks.monitor import snapshot
from locks.snapshots import Snapshot
from locks.wait_tree import Node, wait_trees


class Command(BaseCommand):
    """Print who holds which advisory lock, and who waits behind whom."""

    help = "Show who holds which advisory lock, and who waits behind whom."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the ways of looking."""
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--json", action="store_true", help="print what GET /api/advisory-locks answers")
        way.add_argument(
            "--watch", type=_seconds, nargs="?", const=2.0, metavar="SECONDS", help="look again and again until Ctrl-C"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print once, or until interrupted."""
        try:
            self._print(options)
        except MonitorTimeout as error:
            raise CommandError(str(error)) from error

    def _print(self, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(snapshot().as_json(), indent=2))
        elif options["watch"]:
            self._watch(options["watch"])
        else:
            self._console().print(_picture(snapshot()))

    def _console(self) -> Console:
        # The picture ends its lines itself.
        self.stdout.ending = ""
        return Console(file=cast("IO[str]", self.stdout), highlight=False)

    def _watch(self, pause: float) -> None:
        console = self._console()
        with suppress(KeyboardInterrupt):
            while True:
                picture = _picture(snapshot())
                console.clear()
                console.print(picture)
                time.sleep(pause)


def _picture(seen: Snapshot) -> RenderableType:
    nodes = wait_trees(seen)
    trees = [_tree(node) for node in nodes if node.children]
    verdict = Text(f"{len(trees)} in the way of others", "bold red") if trees else Text("Nobody waits.", "green")
    return Group(verdict, *trees, *_table(seen), Text(_recent(seen), "dim"))


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
    facts = [f"holds {lock.title} for {lock.since}" for lock in node.holds]
    if node.waits_for:
        facts.insert(0, f"waits for {node.waits_for.title} for {node.waits_for.since}")
    return escape(f"{who} {', '.join(facts)}")


def _table(seen: Snapshot) -> Iterator[Table]:
    """Yield a table of all locks, if there are any."""
    if not seen.locks:
        return
    table = Table("lock", "who", "", "for", "scope", "pid", "behind", box=None, header_style="dim")
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for lock in seen.locks:
        who = lock.session.label.holder if lock.session else "unknown"
        state = "holds" if lock.seen.raw.granted else "waits"
        behind = ", ".join(map(str, lock.blocked_by))
        cells = [lock.title, who, state, lock.since, lock.scope, str(lock.seen.raw.pid or "prepared"), behind]
        table.add_row(*map(escape, cells), style="" if lock.seen.raw.granted else "yellow")
    yield table


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
