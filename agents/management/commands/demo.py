"""``manage.py demo``."""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from agents.demo.fleet import DemoError, Fleet, Target
from agents.hosts import add_host, rotate_token
from agents.management.base import seconds
from agents.models import Host

HOST = "demo"
LARGEST = 500


class Command(BaseCommand):
    """A simulated fleet on the real hook routes."""

    help = (
        "Play a simulated fleet against the running server, through its real hook routes, so that there is something "
        "to see. Ctrl-C ends it and its agents."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the fleet."""
        parser.add_argument("--agents", type=int, default=12, metavar="N", help="How many agents (default 12).")
        parser.add_argument("--seed", type=int, default=1, help="The same seed tells the same stories (default 1).")
        parser.add_argument(
            "--speed", type=seconds, default=1.0, metavar="X", help="Times as fast as life (default 1)."
        )
        parser.add_argument("--seconds", type=seconds, metavar="S", help="Stop after so long (default: at Ctrl-C).")
        parser.add_argument("--server", default=_server(), metavar="URL", help="The server (default %(default)s).")
        parser.add_argument("--token", help="A host's token (default: a host named 'demo' gets a new one).")
        parser.add_argument("--keep", action="store_true", help="Leave the agents as they are at the end.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play until the time is over or Ctrl-C."""
        if not 1 <= options["agents"] <= LARGEST:
            raise CommandError(f"--agents must be 1 to {LARGEST}.")
        server = options["server"].rstrip("/")
        target = Target(server, options["token"] or self._own_token())
        fleet = Fleet(target, options["agents"], options["seed"], options["speed"])
        self.stdout.write(f"{options['agents']} agents at work. Look at {server}/ · Ctrl-C to stop")
        try:
            fleet.play(_clock(options["seconds"]), options["keep"])
        except DemoError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            pass
        self.stdout.write("\nSent: " + ", ".join(f"{count} {name}" for name, count in fleet.outcomes.most_common()))

    def _own_token(self) -> str:
        """Return a new token of the demo's own host."""
        try:
            host = Host.objects.filter(name=HOST).first()
            return rotate_token(host) if host else add_host(HOST)[1]
        except OperationalError:
            raise CommandError(
                "The database cannot be reached. Start Headspace with `make run`, or give --server and --token."
            ) from None


def _server() -> str:
    return f"http://{settings.HEADSPACE['HOST']}:{settings.HEADSPACE['PORT']}"


def _clock(duration: float | None) -> Any:
    end = time.monotonic() + duration if duration else None
    return lambda fleet: end is None or time.monotonic() < end
