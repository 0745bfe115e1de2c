"""The record of terminations refuses to be emptied; between tests it is."""

from django.db import connection, transaction


def forget_terminations():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('locks.append_only', 'off', true)")
        cursor.execute("TRUNCATE locks_termination")
