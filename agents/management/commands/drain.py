"""``manage.py drain``."""

from agents.cycles import drainer
from agents.management.base import CycleCommand


class Command(CycleCommand):
    """The drainer's command."""

    help = "Apply hooks that were stored because their agent was busy. One pass, or --every SECONDS."
    cycle = drainer
