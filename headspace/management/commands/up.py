"""``manage.py up``: all of Headspace on one machine, in the foreground."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from headspace.claims import Refused
from headspace.standalone import Standalone

_HELP = """\
Runs all of Headspace on this machine: PostgreSQL, web, queue and cycles.

The first start makes the database, the operator and this machine's token, and shows
password and token once. Ctrl-C stops everything; the next start goes on from there."""


class Command(BaseCommand):
    """Only one runs on a data directory."""

    help = _HELP
    requires_system_checks = []
    # They work, but whoever reads this help looks for the three options below.
    suppressed_base_arguments = {
        "--version",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--traceback",
        "--no-color",
        "--force-color",
    }

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the paragraphs of the help."""
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add where to listen and where to keep things; the environment gives the defaults."""
        limits = settings.HEADSPACE
        parser.add_argument(
            "--host", default=limits["HOST"], help="address to listen on (HEADSPACE_HOST; now %(default)s)"
        )
        parser.add_argument(
            "--port", type=int, default=limits["PORT"], help="port to listen on (HEADSPACE_PORT; now %(default)s)"
        )
        parser.add_argument(
            "--data",
            type=Path,
            default=settings.DATA_DIR,
            metavar="DIR",
            help="directory of the database, the secret key and the logs (HEADSPACE_DATA; now %(default)s)",
        )

    def handle(self, *, host: str, port: int, data: Path, **options: object) -> None:
        """Run until Ctrl-C; exit with 1 and one line where that is impossible."""
        try:
            Standalone(data, host, port, self._write).run()
        except Refused as refusal:
            self.stderr.write(str(refusal))
            sys.exit(1)

    def _write(self, line: str) -> None:
        # A reader that went away is no reason to leave the programs alone.
        with suppress(OSError):
            self.stdout.write(line)
            self.stdout.flush()
