"""Invariants that span rows: what Django's own constraints cannot say."""

from collections.abc import Sequence
from typing import Any, cast

import pgtrigger
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import BaseConstraint, Model


class JointForeignKey(BaseConstraint):
    """Several columns that name one row of another table together; PostgreSQL looks when the transaction commits."""

    def __init__(self, *, fields: Sequence[str], to: str, to_fields: Sequence[str], name: str) -> None:
        super().__init__(name=name)
        self.fields, self.to, self.to_fields = tuple(fields), to, tuple(to_fields)

    def constraint_sql(self, model: type[Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> str:
        """Return it as a part of its table."""
        assert model is not None and schema_editor is not None
        quote, to = schema_editor.quote_name, model._meta.apps.get_model(self.to)
        here = ", ".join(quote(_column(model, name)) for name in self.fields)
        there = ", ".join(quote(_column(to, name)) for name in self.to_fields)
        return (
            f"CONSTRAINT {quote(self.name)} FOREIGN KEY ({here}) REFERENCES {quote(to._meta.db_table)} ({there}) "
            "DEFERRABLE INITIALLY DEFERRED"
        )

    def create_sql(self, model: type[Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> str:
        """Return the statement that adds it to its table."""
        return f"ALTER TABLE {_table(model)} ADD {self.constraint_sql(model, schema_editor)}"

    def remove_sql(self, model: type[Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> str:
        """Return the statement that takes it away again."""
        return f"ALTER TABLE {_table(model)} DROP CONSTRAINT {self.name}"

    def validate(self, *args: object, **kwargs: object) -> None:
        """Leave it to the commit: until then the other row may still come."""

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        """Return it as a migration writes it down."""
        path, args, kwargs = super().deconstruct()
        return path, args, kwargs | {"fields": self.fields, "to": self.to, "to_fields": self.to_fields}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JointForeignKey) and self.deconstruct() == other.deconstruct()

    __hash__ = None  # type: ignore[assignment]  # as Django's own constraints


def _column(model: type[Model], name: str) -> str:
    column: str = cast(Any, model._meta.get_field(name)).column  # the stubs think of fields without one
    return column


def _table(model: type[Model] | None) -> str:
    assert model is not None
    return model._meta.db_table


def at_commit(
    name: str, operation: pgtrigger.Operation, condition: pgtrigger.Condition, *, broken: str, says: str
) -> pgtrigger.Trigger:
    """Return a trigger that refuses a transaction at whose end a row that it wrote is ``broken``.

    Not sooner: a judgement writes the agent before its commands, and the command before its waits. ``condition`` keeps
    ordinary hooks from being looked at twice. Where two tables are concerned each has a trigger, and one of the two
    takes the other's row FOR SHARE: of two writers that do not see each other yet, the second one waits, and sees.
    """
    return pgtrigger.Trigger(
        name=name,
        when=pgtrigger.After,
        timing=pgtrigger.Deferred,
        operation=operation,
        condition=condition,
        func=(
            f"IF {broken} THEN RAISE EXCEPTION '{says}' USING ERRCODE = 'check_violation', CONSTRAINT = '{name}', "
            "SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME; END IF; RETURN NULL;"
        ),
    )


def never_emptied() -> pgtrigger.Trigger:
    """Return a trigger that refuses TRUNCATE, which no trigger of a row sees."""
    return pgtrigger.Trigger(
        name="never_emptied",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;",
    )
