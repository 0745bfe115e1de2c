"""A bank of one account, for the tests of the step scheduler: two who withdraw at once may lose a withdrawal."""

import pytest
from django.db import connection, models, transaction

from locks import LockNamespace, advisory_lock
from locks.testing import Scene


class Account(models.Model):
    balance = models.IntegerField()

    class Meta:
        app_label = "bank"
        managed = False
        db_table = "bank_account"

    def __str__(self):
        return f"{self.balance} left"


@pytest.fixture(autouse=True)
def account(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(Account)
    Account.objects.create(balance=2)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Account)


def withdraw():
    """Read, think, write."""
    with transaction.atomic():
        account = Account.objects.get()
        account.balance -= 1
        account.save()


def withdraw_under_the_lock():
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, 1):
        withdraw()


def withdraw_after_a_row_lock():
    with transaction.atomic():
        account = Account.objects.select_for_update().get()
        account.balance -= 1
        account.save()


def two(act, *stops, **more):
    """Return a scene of two who do the same."""

    def scene():
        Account.objects.update(balance=2)
        return Scene({"one": act, "other": act}, stops, **more)

    return scene
