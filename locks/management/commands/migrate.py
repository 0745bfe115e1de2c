"""``manage.py migrate``: Django's own, and of nodes that start together only one migrates."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import connections

from locks.errors import AdvisoryLockError
from locks.migrating import MigrationLock, migrating_alone

_LOCK_TIMEOUT = 600.0


class Command(migrate.Command):
    """Migrates under a lock; the next node waits, and then finds nothing to do."""

    help = (
        f"{migrate.Command.help} Of nodes that start together only one migrates: it holds a lock on the database"
        " meanwhile, and the others wait and then find nothing to do."
    )
    _lock: MigrationLock | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how to wait, and not to."""
        super().add_arguments(parser)
        parser.add_argument(
            "--lock-timeout",
            type=_seconds,
            default=_LOCK_TIMEOUT,
            metavar="SECONDS",
            help="how long to wait while another node migrates (%(default)g)",
        )
        parser.add_argument("--no-lock", action="store_true", help="migrate even while another node does")

    def handle(self, *args: Any, **options: Any) -> Any:
        """Migrate, alone; CommandError where that cannot be, or was not so to the end."""
        if not _needs_lock(options):
            return super().handle(*args, **options)
        try:
            with migrating_alone(options["database"], options["lock_timeout"], self._say) as self._lock:
                return super().handle(*args, **options)
        except AdvisoryLockError as error:
            raise CommandError(str(error)) from error

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        """Begin no migration without the lock."""
        if self._lock and action in ("apply_start", "unapply_start"):
            self._lock.verify()
        super().migration_progress_callback(action, migration, fake)

    def _say(self, line: str) -> None:
        # Not where a program may read the command's answer.
        self.stderr.write(line, self.style.WARNING)


def _needs_lock(options: dict[str, Any]) -> bool:
    only_looks = options["plan"] or options["check_unapplied"]
    is_postgresql = connections[options["database"]].vendor == "postgresql"
    return is_postgresql and not only_looks and not options["no_lock"]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 10**7:
        raise ArgumentTypeError("a number of seconds, 0 or more")
    return seconds
