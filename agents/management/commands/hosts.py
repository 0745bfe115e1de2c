"""`manage.py hosts`: the machines that may send hooks, and their tokens."""

import json
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import IntegrityError
from django.db.models import Count, Q

from agents.hosts import add_host, revoke_token, rotate_token
from agents.models import Host
from agents.states import Presence

Row = dict[str, Any]

_HELP = """\
The machines that may send hooks, and their tokens.

  hosts list          every host, and whether its token is good
  hosts add NAME      add a host; prints its token, this once
  hosts rotate NAME   give a host a new token, also after it was revoked; prints it, this once
  hosts revoke NAME   refuse the host's token from now on
"""


class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's, which names what every command takes last, without breaking our lines anew."""


class Command(BaseCommand):
    """Lists hosts, adds one, gives one a new token, or takes its token away."""

    help = _HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = _HelpFormatter
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what to do, and to which host."""
        parser.add_argument("action", choices=["list", "add", "rotate", "revoke"], help="what to do")
        parser.add_argument("name", nargs="?", metavar="NAME", help="the host, for all but list")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        self._as_json: bool = options["json"]
        name = (options["name"] or "").strip()
        if options["action"] == "list":
            self._list(name)
            return
        if not name:
            raise CommandError(f"Which host? Write: hosts {options['action']} NAME")
        {"add": self._add, "rotate": self._rotate, "revoke": self._revoke}[options["action"]](name)

    # -- the four actions -----------------------------------------------------

    def _list(self, name: str) -> None:
        if name:
            raise CommandError("list shows all hosts: it takes no name.")
        living = Count("agents", ~Q(agents__presence=Presence.ENDED))
        rows = [_row(host) for host in Host.objects.annotate(living=living).order_by("name")]
        if self._as_json:
            self.stdout.write(json.dumps(rows))
            return
        for line in _table(rows):
            self.stdout.write(line)

    def _add(self, name: str) -> None:
        _check(name)
        try:
            host, token = add_host(name)
        except IntegrityError:
            raise CommandError(f"There is a host {name} already. For a new token of it: hosts rotate {name}") from None
        self._show_token(host, token, f"Added {name}. Its token is shown only now:")

    def _rotate(self, name: str) -> None:
        host = _known(name)
        token = rotate_token(host)
        again = " (it was revoked: it may send hooks again)" if host.revoked_at else ""
        self._show_token(host, token, f"{name} has a new token{again}; the old one is refused. It is shown only now:")

    def _revoke(self, name: str) -> None:
        host = _known(name)
        revoke_token(host)
        if self._as_json:
            revoked_at = Host.objects.values_list("revoked_at", flat=True).get(pk=host.pk)
            self.stdout.write(json.dumps({"name": name, "revoked_at": revoked_at and revoked_at.isoformat()}))
        else:
            self.stdout.write(f"{name}'s token is refused from now on. To let it in again: hosts rotate {name}")

    def _show_token(self, host: Host, token: str, words: str) -> None:
        if self._as_json:
            self.stdout.write(json.dumps({"name": host.name, "token": token}))
            return
        self.stdout.write(words)
        self.stdout.write(f"\n  {token}\n\n")
        self.stdout.write("Connect Claude Code there: manage.py install_hooks --server URL --token TOKEN")


def _known(name: str) -> Host:
    host = Host.objects.filter(name=name).first()
    if host is None:
        raise CommandError(f"There is no host {name}. All of them: hosts list")
    return host


def _check(name: str) -> None:
    try:
        Host._meta.get_field("name").run_validators(name)
    except ValidationError as error:
        raise CommandError(f"This cannot be a name: {' '.join(error.messages)}") from None
    if not name.isprintable():
        raise CommandError("This cannot be a name: it has characters that cannot be printed.")


def _row(host: Any) -> Row:
    return {
        "name": host.name,
        "token_hint": host.token_hint,
        "created_at": host.created_at.isoformat(),
        "rotated_at": host.rotated_at.isoformat() if host.rotated_at else None,
        "revoked_at": host.revoked_at.isoformat() if host.revoked_at else None,
        "agents": host.living,
    }


def _table(rows: list[Row]) -> list[str]:
    """Return one line for each host, under a line of headings."""
    if not rows:
        return ["There is no host yet. Add one: hosts add NAME"]
    cells = [("NAME", "TOKEN", "GOOD", "AGENTS", "ADDED")]
    for row in rows:
        good = "revoked" if row["revoked_at"] else "yes"
        cells.append((row["name"], f"{row['token_hint']}…", good, str(row["agents"]), row["created_at"][:10]))
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
