"""Fixtures for pytest, with pytest-django: ``pytest_plugins = ["locks.testing.fixtures"]``."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from locks.testing.leaks import assert_no_locks_left

_WITH_DATABASE = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback"}


@pytest.fixture
def no_locks_left(request: Any, django_db_blocker: Any) -> Iterator[None]:
    """After a test that uses a database, fail where a lock of it is left. Costs one statement."""
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker or _WITH_DATABASE.intersection(request.fixturenames):
        with django_db_blocker.unblock():
            for connection in connections.all(initialized_only=True):
                # Of a connection that was closed inside its transaction nothing is left, and nothing can be asked.
                if not connection.closed_in_transaction:
                    assert_no_locks_left(connection.alias)
