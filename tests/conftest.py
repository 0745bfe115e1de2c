"""What all tests share: tables are emptied in one statement after a test that commits."""

import pgtrigger
import pytest
from django.apps import apps
from django.db import connection
from django.test import TransactionTestCase

from locks.dedicated import close_kept

pytest_plugins = ["locks.testing.fixtures"]

# Made by the migrations; nothing that a test writes belongs to them.
KEPT = {"django_content_type", "auth_permission"}


def _empty_tables(self):
    """Empty every table but those that migrations fill.

    Django's own way writes content types and permissions anew after each test, which takes longer than most tests.
    """
    tables = {
        model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.managed
    } - KEPT
    names = ", ".join(connection.ops.quote_name(table) for table in sorted(tables))
    # The triggers rest in this one statement: among them are those that refuse to empty what is append-only.
    with pgtrigger.ignore(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")


@pytest.fixture(scope="session", autouse=True)
def _quick_teardown():
    before = TransactionTestCase._fixture_teardown
    TransactionTestCase._fixture_teardown = _empty_tables
    yield
    TransactionTestCase._fixture_teardown = before


@pytest.fixture(autouse=True)
def _no_lock_is_left(no_locks_left):
    """After each test nobody holds a lock, whatever was killed in it."""


@pytest.fixture(autouse=True)
def _no_session_is_kept():
    """A database can not be dropped, nor emptied, while a connection for locks stands open."""
    yield
    close_kept()
