"""``manage.py prepare``: brings a database to where the programs can start; safe to repeat."""

import json
import secrets
import socket
from argparse import ArgumentParser
from io import StringIO

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from agents.hosts import add_host
from agents.models import Host
from locks import checks

_OPERATOR = "operator"


class Command(BaseCommand):
    """Checks, migrates, schedules the cycles, and makes the first operator and the first host where there is none."""

    help = "Migrate the database, and make the first operator and the first host if there is none. Safe to repeat."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the form of the report."""
        parser.add_argument("--json", action="store_true", help="print the report for machines")

    def handle(self, *, json: bool, **options: object) -> None:
        """Print who was made, with the password and the token: they are not kept anywhere."""
        try:
            connection.ensure_connection()
            # What only makes locks last longer is printed; what makes them protect nothing ends it here.
            self.check(tags=[checks.TAG], databases=["default"])
            call_command("migrate", interactive=False, verbosity=0)
            call_command("schedule_cycles", stdout=StringIO())
            report = {"connections": _connections(), "operator": _operator(), "host": _host()}
        except OperationalError as error:
            raise CommandError(f"The database does not answer: {str(error).strip()}") from None
        self.stdout.write(_as_json(report) if json else _as_text(report))


Report = dict[str, object]


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
        return int(cursor.fetchone()[0])


def _operator() -> Report:
    """Return an operator's name; the password too if this is the first one."""
    known = User.objects.filter(is_superuser=True).order_by("pk").first()
    if known:
        return {"name": known.username, "password": None}
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser(_OPERATOR, password=password)
    return {"name": _OPERATOR, "password": password}


def _host() -> Report:
    """Return this machine's host, or any one; the token too if it is the first."""
    name = socket.gethostname()
    if not Host.objects.exists():
        return {"name": name, "token": add_host(name)[1]}
    known = Host.objects.filter(name=name).first() or Host.objects.order_by("pk").first()
    return {"name": known.name if known else name, "token": None}


def _as_json(report: Report) -> str:
    return json.dumps(report)


def _as_text(report: Report) -> str:
    return "\n".join(f"{name}: {value}" for name, value in report.items())
