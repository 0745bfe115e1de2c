"""The app of the lock library."""

from django.apps import AppConfig
from django.core.checks import Tags, register

from locks.checks import check_is_postgresql, check_is_recent


class LocksConfig(AppConfig):
    """Advisory locks on the work connection, and their monitor."""

    name = "locks"

    def ready(self) -> None:
        """Register the checks."""
        register(check_is_postgresql)
        register(check_is_recent, Tags.database)
