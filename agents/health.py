"""Whether this process answers, and whether it can do its work."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from queue import Empty, SimpleQueue

from django.db import DEFAULT_DB_ALIAS, DatabaseError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

log = logging.getLogger(__name__)

ANSWER_WITHIN = timedelta(seconds=1)
"""How long the database has to answer."""
_GIVE_UP_AFTER = timedelta(seconds=2)
"""How long a question to the database lasts at most: less is not possible while it connects."""
_asking = threading.Lock()

Checks = dict[str, str]
"""What was looked at: ``ok``, or a sentence on what is wrong."""
Migration = tuple[str, str]
"""App and name."""


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer; nothing is looked at, least of all the database."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers and has this version's tables, else 503 and what is wrong."""
    checks = checks_within(ANSWER_WITHIN, checks_of_the_database)
    is_ready = set(checks.values()) == {"ok"}
    return JsonResponse(
        {"status": "ok" if is_ready else "unavailable", "checks": checks}, status=200 if is_ready else 503
    )


def checks_within(limit: timedelta, look: Callable[[], Checks]) -> Checks:
    """Return what ``look`` finds, or that it did not come back in time.

    It runs beside the request, which therefore never hangs as long as a database may; and only once at a time, so that
    those who ask again and again do not pile up behind a server that does not answer.
    """
    seconds = limit.total_seconds()
    give_up_at = time.monotonic() + seconds
    if not _asking.acquire(timeout=seconds):
        return {"database": f"does not answer within {seconds:g} s"}
    found: SimpleQueue[Checks] = SimpleQueue()
    threading.Thread(target=_look, args=(look, found), name="readiness", daemon=True).start()
    try:
        return found.get(timeout=max(0.0, give_up_at - time.monotonic()))
    except Empty:
        return {"database": f"does not answer within {seconds:g} s"}


def _look(look: Callable[[], Checks], found: "SimpleQueue[Checks]") -> None:
    try:
        found.put(look())
    except Exception:  # who asked must be told something, or waits for nothing
        log.exception("readiness cannot be told")
        found.put({"database": "cannot be asked"})
    finally:
        _asking.release()


def checks_of_the_database() -> Checks:
    """Return whether the database answers and its tables are those of this version."""
    connection = _connection()
    try:
        waiting = _waiting_migrations(connection)
    except DatabaseError as error:
        # The text names addresses and accounts: it is for the log.
        log.warning("not ready: %s", error)
        return {"database": "cannot be reached"}
    finally:
        connection.close()
    return {"database": "ok", "migrations": f"{waiting} are not applied" if waiting else "ok"}


def _connection() -> BaseDatabaseWrapper:
    """Return a connection of its own, which asks no longer than it may."""
    connection = connections.create_connection(DEFAULT_DB_ALIAS)
    limit = int(_GIVE_UP_AFTER.total_seconds())
    options = {"connect_timeout": limit, "options": f"-c statement_timeout={limit}s"}
    connection.settings_dict = connection.settings_dict | {
        "OPTIONS": connection.settings_dict.get("OPTIONS", {}) | options
    }
    return connection


def _waiting_migrations(connection: BaseDatabaseWrapper) -> int:
    """Count them by hand: Django's own executor asks on another connection, with no limit, and leaves it open."""
    applied = _applied_migrations(connection)
    return sum(key not in applied and not (replaced and replaced <= applied) for key, replaced in _migrations().items())


def _applied_migrations(connection: BaseDatabaseWrapper) -> set[Migration]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            return {(app, name) for app, name in cursor.fetchall()}
    except ProgrammingError:  # the table itself comes with the first migration
        return set()


@cache
def _migrations() -> dict[Migration, set[Migration]]:
    """Return the migrations of this version, each with those that it replaces."""
    return {key: set(migration.replaces) for key, migration in MigrationLoader(None).disk_migrations.items()}
