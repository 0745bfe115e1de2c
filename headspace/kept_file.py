"""The data directory, and small texts in it that their owner alone can read."""

import os
from pathlib import Path


def make_data_directory(data: Path) -> None:
    """Make the directory, unless it is there."""
    if not data.exists():
        data.mkdir(parents=True, exist_ok=True)
        # As root, PostgreSQL's own account must get through; it sees nothing on the way.
        data.chmod(0o711 if os.geteuid() == 0 else 0o700)


def keep_text(path: Path, text: str) -> None:
    """Write the text for the owner of its directory, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    if os.geteuid() == 0:
        # Or root would leave behind what the directory's owner cannot read.
        owner = path.parent.stat()
        os.chown(unfinished, owner.st_uid, owner.st_gid)
    unfinished.replace(path)


def kept_text(path: Path) -> str:
    """Return the text, or nothing where there is no such file."""
    return path.read_text().strip() if path.exists() else ""
