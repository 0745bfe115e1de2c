"""The rows of the agents."""

from agents.models.agent import Agent, AgentQuerySet, AgentSession
from agents.models.command import Command, Turn, Wait
from agents.models.host import Host, Project
from agents.models.journal import HookEvent, StateChange

__all__ = [
    "Agent",
    "AgentQuerySet",
    "AgentSession",
    "Command",
    "HookEvent",
    "Host",
    "Project",
    "StateChange",
    "Turn",
    "Wait",
]
