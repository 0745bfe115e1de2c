"""Django's PostgreSQL backend for aliases that a test adds: neither Django nor pytest-django forbids them."""

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def ensure_connection(self):
        # Both forbid by replacing this method in the base class.
        if self.connection is None:
            with self.wrap_database_errors:
                self.connect()
