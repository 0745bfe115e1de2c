"""A vendor's settings file on disk: read whole, replaced in one step, its original kept beside it."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agents.settings_rules import SettingsRefused
from headspace.env import env_path

PRIVATE = 0o600  # a new file holds a token
KEPT_SUFFIX = ".headspace-backup"


def user_settings() -> Path:
    """Return the settings file of this machine's user of Claude Code."""
    return env_path("CLAUDE_CONFIG_DIR", Path.home() / ".claude") / "settings.json"


def _text_of(path: Path) -> str | None:
    """Return a file's text with its line endings as they are; None without a file."""
    try:
        # A pipe or a device would be waited for, and must not be replaced.
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise SettingsRefused("it is no regular file")
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise SettingsRefused("it is not UTF-8") from None
    except OSError as error:
        raise SettingsRefused(f"it cannot be read: {error.strerror}") from None


def _adopt(handle: int, path: Path) -> None:
    """Give a new file the mode and, where we may, the owner of the one that it replaces."""
    if not path.exists():
        return
    was = path.stat()
    os.fchmod(handle, stat.S_IMODE(was.st_mode))
    with suppress(PermissionError):
        os.fchown(handle, was.st_uid, was.st_gid)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _staged(path: Path, text: str | None, like: Path) -> Iterator[Path | None]:
    """Yield a file with the text, safely on disk beside ``path``, ready to take its place; None for no text."""
    if text is None:
        yield None
        return
    content = text.encode()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            _adopt(file.fileno(), like)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _put(staged: Path | None, path: Path) -> None:
    """Let a staged file take the place of another in one step, or remove that one where there is none."""
    if staged is None:
        path.unlink(missing_ok=True)
    else:
        os.replace(staged, path)
    _sync_directory(path.parent)


@dataclass(frozen=True)
class SettingsFile:
    """A settings file as it was when it was read; ``path`` is the real one behind any symbolic links."""

    path: Path
    text: str | None
    kept: str | None

    @classmethod
    def read(cls, path: Path) -> "SettingsFile":
        """Return the file and what an earlier install kept; raises ``SettingsRefused``."""
        try:
            real = path.expanduser().resolve()
        except (OSError, RuntimeError):
            raise SettingsRefused("its symbolic links lead in a circle") from None
        return cls(real, _text_of(real), _text_of(cls._beside(real)))

    @staticmethod
    def _beside(path: Path) -> Path:
        return path.with_name(path.name + KEPT_SUFFIX)

    @property
    def kept_path(self) -> Path:
        """Where the original is kept."""
        return self._beside(self.path)

    @property
    def mode(self) -> int:
        """The permission bits that the file has, or that a new one gets."""
        return stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else PRIVATE

    def replace(self, text: str | None, kept: str | None) -> None:
        """Write both files, None meaning that there is none; raises ``SettingsRefused`` and then changed nothing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _staged(self.path, text, self.path) as new, _staged(self.kept_path, kept, self.path) as original:
                self._refuse_changed()
                self._put(new, original)
        except UnicodeEncodeError:
            raise SettingsRefused("it would hold a path that is not UTF-8") from None
        except OSError as error:
            raise SettingsRefused(f"it cannot be written: {error.strerror}") from None

    def _refuse_changed(self) -> None:
        effective = os.access in os.supports_effective_ids
        if self.path.exists() and not os.access(self.path, os.W_OK, effective_ids=effective):
            raise SettingsRefused("it is read-only")
        # The client writes this file as well; what it wrote since we read is not ours to lose.
        if _text_of(self.path) != self.text:
            raise SettingsRefused("it was changed just now by somebody else: run the command again")

    def _put(self, new: Path | None, original: Path | None) -> None:
        """Keep the original before the file changes and drop it only after: a crash in between loses neither."""
        if original is not None:
            _put(original, self.kept_path)
        _put(new, self.path)
        if original is None:
            _put(None, self.kept_path)
