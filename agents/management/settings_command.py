"""What the commands that work on a vendor's settings file have in common: which file, and refusals on one line."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.install import difference
from agents.settings_file import SettingsFile, user_settings
from agents.settings_rules import SettingsRefused


class SettingsCommand(BaseCommand):
    """A command on one settings file; ``work`` does it and raises ``SettingsRefused``."""

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the choice of the file and the dry run."""
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--project", metavar="DIR", help="the settings of one project: DIR/.claude/settings.json")
        where.add_argument(
            "--settings-file", metavar="FILE", help="any other settings file, e.g. one given to `claude --settings`"
        )
        parser.add_argument("--dry-run", action="store_true", help="show the difference and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work on the file that the options name."""
        path = self._path(options)
        try:
            self.work(SettingsFile.read(path), options)
        except SettingsRefused as refusal:
            raise CommandError(f"{path} is left as it is: {refusal}.") from None

    def work(self, file: SettingsFile, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def show(self, file: SettingsFile, after: str | None) -> None:
        """Print what would change, with tokens masked."""
        self.stdout.write(difference(file.text, after, str(file.path)) or "Nothing would change.\n", ending="")

    def _path(self, options: dict[str, Any]) -> Path:
        if options["project"]:
            directory = Path(options["project"]).expanduser()
            if not directory.is_dir():
                raise CommandError(f"{directory} is no directory.")
            return directory / ".claude" / "settings.json"
        return Path(options["settings_file"]).expanduser() if options["settings_file"] else user_settings()
