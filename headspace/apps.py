"""The app that holds the processes: `up` and its parts."""

from django.apps import AppConfig


class HeadspaceConfig(AppConfig):
    """Wiring only; it has no rows."""

    name = "headspace"
