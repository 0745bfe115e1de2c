"""What is kept about locks, made to be nothing between tests."""

from django.db import connection, transaction

from locks import counts
from locks.models import Incident, Minute, Timing


def forget_counts():
    """Drop what this process has noted in other tests, before a thread of it writes that in the middle of this one."""
    counts.tally._pending.clear()
    counts.tally.finish()
    for model in (Incident, Minute, Timing):
        model.objects.all().delete()


def forget_terminations():
    """Empty the record that otherwise refuses to be emptied."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('locks.append_only', 'off', true)")
        cursor.execute("TRUNCATE locks_termination")
