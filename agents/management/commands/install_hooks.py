"""`manage.py install_hooks`: connects Claude Code to this server."""

import shlex
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from agents import announce
from agents.install import Receiver, entries, installed
from agents.management.settings_command import SettingsCommand
from agents.settings_file import SettingsFile
from agents.settings_rules import document_of
from agents.settings_warnings import warnings


def _announcing(settings: Path) -> str:
    """Return the command of SessionStart and Setup; whatever becomes of it, the client sees a success."""
    words = [sys.executable, "-I", str(Path(announce.__file__).resolve()), "--settings", str(settings)]
    return f"{shlex.join(words)} || true"


class Command(SettingsCommand):
    """Merges our hooks into a settings file of Claude Code."""

    help = (
        "Connects Claude Code to Headspace: merges our hooks into its settings, beside any that are there. The file "
        "as it was is kept beside it (…headspace-backup), and `uninstall_hooks` brings it back. Run it again to change "
        "the server or the token. Without --project or --settings-file it works on the user's settings: "
        "~/.claude/settings.json, or the same file in CLAUDE_CONFIG_DIR."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add where the hooks go."""
        parser.add_argument("--server", required=True, metavar="URL", help="Headspace, e.g. http://127.0.0.1:8642")
        parser.add_argument("--token", required=True, help="this host's token (`manage.py hosts add NAME` prints one)")
        super().add_arguments(parser)

    def work(self, file: SettingsFile, options: dict[str, Any]) -> None:
        """Merge, show or write, and say what may keep the hooks from running."""
        receiver = Receiver(options["server"], options["token"], _announcing(file.path))
        result = installed(file.text, file.kept, receiver)
        if options["dry_run"]:
            self.show(file, result.text)
            return
        if (result.text, result.original) != (file.text, file.kept):
            file.replace(result.text, result.original)
        self.stdout.write(f"{len(entries(receiver))} events of Claude Code go to {receiver.url}.")
        self.stdout.write(f"Written to {file.path}{self._kept(file, result.original)}.")
        self._warn(file, receiver, project=bool(options["project"]))

    def _kept(self, file: SettingsFile, original: str | None) -> str:
        return ", which is new" if original is None else f"; as it was: {file.kept_path}"

    def _warn(self, file: SettingsFile, receiver: Receiver, *, project: bool) -> None:
        document = document_of(file.text or "{}")
        for warning in warnings(receiver.url, document, file.mode):
            self.stderr.write(self.style.WARNING(f"Warning: {warning}"))
        if project:
            self.stderr.write(self.style.WARNING("Warning: The file holds a token: keep it out of version control."))
