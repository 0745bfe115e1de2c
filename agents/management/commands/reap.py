"""``manage.py reap``."""

from agents.cycles import reaper
from agents.management.base import CycleCommand


class Command(CycleCommand):
    """The reaper's command."""

    help = "End agents whose process is gone; label those that were silent for too long. One pass, or --every SECONDS."
    cycle = reaper
