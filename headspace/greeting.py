"""What `manage.py up` tells a person when everything runs."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """Where to go, who to be and what to type; password and token are known at the first start only."""

    url: str
    operator: str
    password: str | None
    host: str
    token: str | None
    data: Path | None
    """The data directory, unless it is the one where commands look by themselves."""

    def text(self) -> str:
        """Return all of it."""
        return f"\nHeadspace is ready: {self.url}/\n\n{self.access()}\n  Stop   Ctrl-C\n"

    def access(self) -> str:
        """Return who to be and what to type."""
        return f"  Login  {self._login()}\n  Hooks  {self._hooks()}"

    def _login(self) -> str:
        if self.password:
            return f"{self.operator}, password {self.password} (shown only this once)"
        return f"{self.operator} (new password: {self._command(f'changepassword {self.operator}')})"

    def _hooks(self) -> str:
        line = f"{_manage()} install_hooks --server {self.url} --token {self.token or 'TOKEN'}"
        return line if self.token else f"{line} (new token: {self._command(f'hosts rotate {self.host}')})"

    def _command(self, words: str) -> str:
        return f"{f'HEADSPACE_DATA={self.data} ' if self.data else ''}{_manage()} {words}"


def _manage() -> str:
    """Return how manage.py is run with this Python, as short as it can be typed here."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{python} manage.py"
