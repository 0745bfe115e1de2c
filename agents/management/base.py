"""What every cycle's command has in common: one pass and its report, or a loop."""

import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from agents.cycles.loop import Loop
from agents.cycles.report import Report


def seconds(text: str) -> float:
    """Return a number of seconds above 0. Raises ``ArgumentTypeError``."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 10**9:
        raise ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return number


class CycleCommand(BaseCommand):
    """One pass by default; with ``--every`` a loop until SIGTERM or SIGINT, which finishes the pass."""

    cycle: Any
    """The cycle's module, with its ``run_once(now) -> Report``."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what all cycles understand."""
        parser.add_argument("--every", type=seconds, metavar="SECONDS", help="Repeat until stopped.")
        parser.add_argument("--json", action="store_true", help="Print the report as one line of JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one pass, or the loop."""
        self._as_json: bool = options["json"]
        if options["every"] is None:
            self._show(self.cycle.run_once(timezone.now()))
        else:
            Loop(self.cycle.run_once, options["every"], self._show_what_was_done).run()

    def _show(self, report: Report) -> None:
        self.stdout.write(json.dumps(report.as_row()) if self._as_json else str(report))

    def _show_what_was_done(self, report: Report) -> None:
        if self._as_json or report.done or report.failed or report.skipped:
            self._show(report)
