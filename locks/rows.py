"""Rows behind a lock: read again after their advisory lock was granted, or locked themselves without waiting."""

from typing import Any, ClassVar, TypeVar

from django.db import OperationalError, connections, models, transaction

from locks.advisory import PATIENCE
from locks.asks import Ask
from locks.errors import BUSY, RowBusy, sqlstate
from locks.keys import LockKey
from locks.patience import Timeout, milliseconds
from locks.transactional import require_transaction, take

M = TypeVar("M", bound=models.Model)


class LockingQuerySet(models.QuerySet[M]):
    """A queryset whose rows have advisory locks; a subclass names their namespace."""

    lock_namespace: ClassVar[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "lock_namespace"):
            raise TypeError(f"{cls.__name__} must name the namespace of its locks: lock_namespace = ...")

    def locked(self, pk: Any, timeout: Timeout = PATIENCE) -> M:
        """Take the row's advisory lock and return the row as it is then. Two statements.

        The key is entered until the innermost ``atomic`` block ends. Raises as ``advisory_lock`` does, and the
        model's DoesNotExist.
        """
        using = self._written_to()
        take(Ask((self.lock_key(pk),), milliseconds(timeout), "transaction", shared=False, using=using))
        # A statement of its own: one that also took the lock would show the row as it was before the wait.
        return self.using(using).get(pk=pk)

    def locked_nowait(self, pk: Any) -> M:
        """Return the row under a row lock of its own, in a savepoint of its own. One statement inside the savepoint.

        RowBusy where another transaction has it locked; the caller's transaction stays usable. Also raises
        NotInTransaction and the model's DoesNotExist.
        """
        using = self._written_to()
        require_transaction(connections[using], f"{self.model._meta.label} {pk}")
        try:
            with transaction.atomic(using=using):
                return self.using(using).select_for_update(nowait=True, of=("self",)).get(pk=pk)
        except OperationalError as error:
            if sqlstate(error) != BUSY:
                raise
            raise RowBusy(f"{self.model._meta.label} {pk} is locked by another transaction") from error

    def lock_key(self, pk: Any) -> LockKey:
        """Return the key of the row's advisory lock; "7" and 7 are one row. ValueError for what is no primary key."""
        value = self.model._meta.pk.get_prep_value(pk)
        return LockKey(self.lock_namespace, value if isinstance(value, int) else str(value))

    def _written_to(self) -> str:
        """Return the database that writes go to: a lock or a row read from a replica protects nothing."""
        return self.select_for_update().db
