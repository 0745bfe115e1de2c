"""The library's settings: ``settings.LOCKS``, a dictionary; what it does not name has these values.

==================  =========  ========================================================================================
``DIRECT``          ``{}``     database alias → alias of the same database without a pooler, for session scope
``SESSION_SCOPE``   ``()``     database aliases for which the program asks in session scope, for the check of poolers
``SESSIONS``        ``8``      dedicated connections per process and database, for session scope
``SESSIONS_KEPT``   ``2``      how many of them are kept when nobody needs them
``WAITERS``         ``16``     how many of one process may wait for one key; the next one is told "busy" at once
``MOST_KEYS``       ``1000``   keys of one ``advisory_locks``
``FULLEST``         ``0.5``    share of the server's lock table beyond which no lock is asked for
``LOOK_EVERY``      ``5 s``    how often a process looks how full that table is, at least (``timedelta``)
``TOLD_AFTER``      ``1 s``    a wait that was longer is logged and kept (``timedelta``)
``THREADS``         ``0``      threads per process that use the database at once, for the check of pools; 0: unknown
==================  =========  ========================================================================================
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The settings in force."""

    direct: dict[str, str] = field(default_factory=dict)
    session_scope: tuple[str, ...] = ()
    sessions: int = 8
    sessions_kept: int = 2
    waiters: int = 16
    most_keys: int = 1000
    fullest: float = 0.5
    look_every: timedelta = timedelta(seconds=5)
    told_after: timedelta = timedelta(seconds=1)
    threads: int = 0


@cache
def conf() -> Conf:
    """Return the settings in force. ImproperlyConfigured for a name that is none."""
    given: dict[str, Any] = getattr(settings, "LOCKS", {})
    unknown = [name for name in given if name.lower() not in Conf.__dataclass_fields__]
    if unknown:
        raise ImproperlyConfigured(f"LOCKS knows no {', '.join(sorted(unknown))}.")
    return Conf(**{name.lower(): value for name, value in given.items()})


def _forget(*, setting: str, **_: object) -> None:
    if setting == "LOCKS":
        conf.cache_clear()


setting_changed.connect(_forget)
