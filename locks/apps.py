"""The app of the lock library."""

from django.apps import AppConfig
from django.core.checks import Tags, register

from locks import checks


class LocksConfig(AppConfig):
    """Advisory locks on the work connection, and their monitor."""

    name = "locks"

    def ready(self) -> None:
        """Register the checks."""
        register(checks.check_settings, checks.TAG)
        register(checks.check_is_postgresql, checks.TAG)
        register(checks.check_namespaces, checks.TAG)
        register(checks.check_pools, checks.TAG)
        register(checks.check_migrate_command, checks.TAG)
        register(checks.check_servers, checks.TAG, Tags.database)
