"""The counts of what went badly, one row per minute."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create the table of counts."""

    dependencies = [("locks", "0001_locks")]

    operations = [
        migrations.CreateModel(
            name="Minute",
            fields=[
                ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                ("timeouts", models.PositiveIntegerField(default=0)),
                ("skips", models.PositiveIntegerField(default=0)),
                ("waits_over_1s", models.PositiveIntegerField(default=0)),
                ("lost", models.PositiveIntegerField(default=0)),
            ],
            options={"ordering": ["-minute"]},
        ),
    ]
