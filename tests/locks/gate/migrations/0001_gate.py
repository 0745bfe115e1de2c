from django.db import migrations

from tests.locks.gate import GATE


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.RunSQL(f"SELECT pg_advisory_xact_lock_shared({GATE})", migrations.RunSQL.noop),
        migrations.RunSQL("CREATE TABLE gate_passed (n integer)", "DROP TABLE gate_passed"),
    ]
