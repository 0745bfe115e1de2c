"""`manage.py uninstall_hooks`: takes our hooks out of a settings file of Claude Code."""

from typing import Any

from agents.install import has_ours, uninstalled
from agents.management.settings_command import SettingsCommand
from agents.settings_file import SettingsFile


class Command(SettingsCommand):
    """Leaves the file as it was before `install_hooks`."""

    help = (
        "Takes Headspace's hooks out of Claude Code's settings. Where nothing else was changed since `install_hooks`, "
        "the file is again what it was, byte for byte, and one that did not exist is removed; otherwise only our "
        "entries go. Without --project or --settings-file it works on the user's settings: ~/.claude/settings.json, "
        "or the same file in CLAUDE_CONFIG_DIR."
    )

    def work(self, file: SettingsFile, options: dict[str, Any]) -> None:
        """Take our entries out, or show it."""
        after = uninstalled(file.text, file.kept)
        if options["dry_run"]:
            self.show(file, after)
        elif not has_ours(file.text):
            self.stdout.write(f"{file.path} holds no hooks of Headspace.")
        else:
            file.replace(after, None)
            self.stdout.write(f"{file.path} {_outcome(after, file.kept)}.")


def _outcome(after: str | None, kept: str | None) -> str:
    if after is None:
        return "is removed: there was none before"
    return "is as it was" if after == kept else "was changed since, so only our entries are gone from it"
