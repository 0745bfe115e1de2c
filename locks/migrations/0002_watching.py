"""What is kept about locks: counts by the minute, the newest incidents, durations, and who ended whose session.

Terminations are append-only. A row is written before the session is told to end, and its outcome and when it ended
are written once, afterwards. Nothing else of it changes, and none goes, unless the setting ``locks.append_only`` is
'off' in that transaction: for who throws a whole database's content away.
"""

from django.db import migrations, models

APPEND_ONLY = """
CREATE FUNCTION locks_keep_terminations() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
    unanswered locks_termination;
BEGIN
    IF pg_catalog.current_setting('locks.append_only', true) = 'off' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.outcome = '' AND NEW.outcome <> '' THEN
        unanswered := NEW;
        unanswered.outcome := OLD.outcome;
        unanswered.ended_at := OLD.ended_at;
        IF unanswered IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'what was done to sessions stays as it is written: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$body$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON locks_termination
FOR EACH ROW EXECUTE FUNCTION locks_keep_terminations();

-- An empty table has nothing to lose.
CREATE FUNCTION locks_keep_all_terminations() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
    IF pg_catalog.current_setting('locks.append_only', true) IS DISTINCT FROM 'off'
        AND EXISTS (SELECT FROM locks_termination) THEN
        RAISE EXCEPTION 'what was done to sessions stays as it is written: TRUNCATE of % is refused', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$body$;

CREATE TRIGGER never_emptied BEFORE TRUNCATE ON locks_termination
FOR EACH STATEMENT EXECUTE FUNCTION locks_keep_all_terminations();
"""

NOT_APPEND_ONLY = """
DROP TRIGGER never_emptied ON locks_termination;
DROP TRIGGER append_only ON locks_termination;
DROP FUNCTION locks_keep_all_terminations();
DROP FUNCTION locks_keep_terminations();
"""


class Migration(migrations.Migration):
    """Create the tables, and what keeps one of them append-only."""

    dependencies = [("locks", "0001_locks")]

    operations = [
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("timeouts", "timeout"),
                            ("skips", "skip"),
                            ("waits_over_1s", "long wait"),
                            ("lost", "lost"),
                        ],
                        max_length=20,
                    ),
                ),
                ("namespace", models.PositiveSmallIntegerField()),
                ("key", models.BigIntegerField()),
                ("name", models.TextField(blank=True)),
                ("asker", models.TextField(blank=True)),
                ("correlation_id", models.TextField(blank=True)),
                ("seconds", models.FloatField()),
                ("holder", models.TextField(blank=True)),
                ("holder_correlation_id", models.TextField(blank=True)),
                ("holder_pid", models.IntegerField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="Minute",
            fields=[
                ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                ("timeouts", models.PositiveIntegerField(default=0)),
                ("skips", models.PositiveIntegerField(default=0)),
                ("waits_over_1s", models.PositiveIntegerField(default=0)),
                ("lost", models.PositiveIntegerField(default=0)),
                ("untold", models.PositiveIntegerField(default=0)),
                ("waited_seconds", models.FloatField(default=0)),
                ("longest_wait", models.FloatField(default=0)),
            ],
            options={
                "ordering": ["-minute"],
            },
        ),
        migrations.CreateModel(
            name="Termination",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asked_at", models.DateTimeField()),
                ("by", models.TextField()),
                ("pid", models.IntegerField()),
                ("holder", models.TextField(blank=True)),
                ("locks", models.JSONField(default=list)),
                ("reason", models.TextField(blank=True)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("ended", "it has ended"),
                            ("stays", "it was told to end and has not yet"),
                            ("own", "refused: that is the session that asks"),
                            ("foreign", "refused: it holds no lock of ours in this database"),
                            ("changed", "refused: it does not hold any more what it held when it was looked at"),
                            ("forbidden", "refused: the database does not allow this user to end it"),
                        ],
                        max_length=10,
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Timing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", models.PositiveSmallIntegerField()),
                ("what", models.CharField(choices=[("wait", "wait"), ("hold", "hold")], max_length=4)),
                ("bound", models.FloatField()),
                ("count", models.PositiveBigIntegerField()),
                ("seconds", models.FloatField()),
            ],
            options={
                "ordering": ["namespace", "what", "bound"],
                "constraints": [
                    models.UniqueConstraint(fields=("namespace", "what", "bound"), name="timing_one_per_bound")
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, reverse_sql=NOT_APPEND_ONLY),
    ]
