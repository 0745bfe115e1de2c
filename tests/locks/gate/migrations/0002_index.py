from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gate", "0001_gate")]
    operations = [
        migrations.RunSQL("CREATE INDEX CONCURRENTLY gate_index ON gate_passed (n)", "DROP INDEX gate_index"),
    ]
