"""The WSGI application that the web process serves: a bare door for hooks, Django's usual one for everything else."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headspace.settings")


class BareDoor(WSGIHandler):
    """Django without middleware: a hook comes from a machine with a token, and needs no session, login, CSRF or files.

    Together they would cost a seventh of a hook's time in this process.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Let nothing stand between the door and the view."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]


_pages = get_wsgi_application()
_hooks = BareDoor()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Send hooks through the bare door."""
    door = _hooks if environ["PATH_INFO"].lstrip("/").startswith("hook") else _pages
    return door(environ, start_response)
