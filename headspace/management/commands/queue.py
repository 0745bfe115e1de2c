"""``manage.py queue``: the queue's cluster, started again when it ends or hangs."""

from argparse import ArgumentParser

from django.core.management import call_command
from django.core.management.base import BaseCommand

from headspace.heartbeat import leave_marks
from headspace.parents import end_all_with_parents
from headspace.programs import queue
from headspace.stops import Stops
from headspace.supervisor import Supervisor


class Command(BaseCommand):
    """Guards django-q2's cluster, which can hang for ever when one of its processes is killed."""

    help = "Run the queue's workers (django-q2). They are started again when they end or hang."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the option that the guard itself uses."""
        parser.add_argument("--unguarded", action="store_true", help="run the workers themselves, without a guard")

    def handle(self, *, unguarded: bool, **options: object) -> None:
        """Run until SIGINT or SIGTERM; running tasks get 15 seconds to finish."""
        if not unguarded:
            with Stops() as stops:
                return Supervisor([queue()], lambda name, line: self.stdout.write(line)).run(stops)
        # django-q2 forks in three generations, and each goes on working when the one before it is killed.
        end_all_with_parents()
        leave_marks()
        call_command("qcluster")
