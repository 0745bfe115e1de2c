"""``manage.py schedule_cycles``."""

from typing import Any

from django.core.management.base import BaseCommand
from django_q.models import Schedule

SCHEDULES = {"reap": "agents.tasks.reap", "drain": "agents.tasks.drain"}
"""Name → what is called every minute. Passes exclude each other by locks: schedules and loops may run side by side."""


class Command(BaseCommand):
    """Write the schedules of the cycles; running it again changes nothing."""

    help = "Write django-q2's schedules of the cycles, every minute each. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing and mend what differs."""
        for name, function in SCHEDULES.items():
            wanted = {"func": function, "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1}
            schedule, created = Schedule.objects.get_or_create(name=name, defaults=wanted)
            changed = {field: value for field, value in wanted.items() if getattr(schedule, field) != value}
            if changed:
                Schedule.objects.filter(pk=schedule.pk).update(**changed)
            self.stdout.write(f"{name}: {'created' if created else 'mended' if changed else 'unchanged'}")
