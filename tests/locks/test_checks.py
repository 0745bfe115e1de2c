import pytest
from django.core.checks import run_checks
from django.db import connections


def _found(databases=None):
    return [(message.id, message.msg) for message in run_checks(databases=databases) if message.id.startswith("locks.")]


@pytest.mark.django_db
def test_a_recent_postgresql_passes():
    assert _found(["default"]) == []


def test_another_database_is_an_error_and_is_not_connected_to(monkeypatch):
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")

    assert _found() == [("locks.E001", "The database 'default' is not PostgreSQL.")]


@pytest.mark.django_db
def test_an_old_server_is_an_error_where_databases_are_checked(monkeypatch):
    monkeypatch.setattr("locks.checks.OLDEST", 999)

    ((found, words),) = _found(["default"])
    assert found == "locks.E002"
    assert words.endswith("locks need 999.")
    assert _found() == []
