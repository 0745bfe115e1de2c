"""The app of the agents."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Agents, commands, turns, waits and the journal of their hooks."""

    name = "agents"

    def ready(self) -> None:
        """Let the lock monitor call agents by their names."""
        # Not before: these modules need the models.
        from agents.cards import names_of
        from locks import LockNamespace
        from locks.monitor import name_keys

        name_keys(LockNamespace.AGENT, names_of)
