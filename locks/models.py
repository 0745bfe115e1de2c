"""What is kept about locks; the locks themselves are no rows."""

from django.db import models

from locks.durations import duration
from locks.incidents import Kind
from locks.keys import namespace_name
from locks.timings import WHATS

_KINDS: dict[Kind, str] = {"timeouts": "timeout", "skips": "skip", "waits_over_1s": "long wait", "lost": "lost"}
_SENTENCES = {
    "timeouts": "{asker} gave up on {lock} after {waited}",
    "skips": "{asker} skipped {lock}",
    "waits_over_1s": "{asker} waited {waited} for {lock}",
    "lost": "{asker} lost {lock}",
}


class Minute(models.Model):
    """How often asking for a lock went badly in one minute, and how long was waited, over all processes."""

    minute = models.DateTimeField(primary_key=True)
    timeouts = models.PositiveIntegerField(default=0)
    skips = models.PositiveIntegerField(default=0)
    waits_over_1s = models.PositiveIntegerField(default=0)
    lost = models.PositiveIntegerField(default=0)
    untold = models.PositiveIntegerField(default=0)
    """Incidents for which there was no room."""
    waited_seconds = models.FloatField(default=0)
    longest_wait = models.FloatField(default=0)

    class Meta:
        ordering = ["-minute"]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Incident(models.Model):
    """One time that it went badly; the newest are kept (``incidents``)."""

    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=list(_KINDS.items()))
    namespace = models.PositiveSmallIntegerField()
    key = models.BigIntegerField()
    name = models.TextField(blank=True)
    asker = models.TextField(blank=True)
    correlation_id = models.TextField(blank=True)
    seconds = models.FloatField()
    holder = models.TextField(blank=True)
    holder_correlation_id = models.TextField(blank=True)
    holder_pid = models.IntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M:%S}"

    @property
    def lock(self) -> str:
        """What was asked for."""
        return f"{namespace_name(self.namespace)} {self.name or self.key}"

    @property
    def sentence(self) -> str:
        """What happened, for a person."""
        said = _SENTENCES[self.kind].format(asker=self.asker, lock=self.lock, waited=duration(self.seconds))
        if not self.holder:
            return f"{said}."
        return f"{said}; {self.holder}{f' (pid {self.holder_pid})' if self.holder_pid else ''} held it."

    def as_json(self) -> dict[str, object]:
        """Return it as the API shows it."""
        return {
            "at": self.at.isoformat(),
            "kind": self.kind,
            "namespace": namespace_name(self.namespace),
            "key": self.key,
            "name": self.name or None,
            "asker": self.asker,
            "correlation_id": self.correlation_id or None,
            "seconds": round(self.seconds, 3),
            "holder": self.holder or None,
            "holder_correlation_id": self.holder_correlation_id or None,
            "holder_pid": self.holder_pid,
        }


class Timing(models.Model):
    """How many waits or holds of a namespace lasted that long, since the table was made."""

    namespace = models.PositiveSmallIntegerField()
    what = models.CharField(max_length=4, choices=[(what, what) for what in WHATS])
    bound = models.FloatField()
    """Seconds: the longest that is counted here; what is counted one row below is not."""
    count = models.PositiveBigIntegerField()
    seconds = models.FloatField()
    """All together."""

    class Meta:
        ordering = ["namespace", "what", "bound"]
        constraints = [models.UniqueConstraint(fields=["namespace", "what", "bound"], name="timing_one_per_bound")]

    def __str__(self) -> str:
        return f"{self.namespace} {self.what} ≤ {self.bound:g} s"


class Outcome(models.TextChoices):
    """What came of asking to end a session."""

    ENDED = "ended", "it has ended"
    STAYS = "stays", "it was told to end and has not yet"
    OWN = "own", "refused: that is the session that asks"
    FOREIGN = "foreign", "refused: it holds no lock of ours in this database"
    CHANGED = "changed", "refused: it does not hold any more what it held when it was looked at"
    FORBIDDEN = "forbidden", "refused: the database does not allow this user to end it"


class Termination(models.Model):
    """That somebody asked to end a session, and what came of it. Append-only: a trigger sees to that."""

    asked_at = models.DateTimeField()
    by = models.TextField()
    pid = models.IntegerField()
    holder = models.TextField(blank=True)
    locks = models.JSONField(default=list)
    """What it held, as the monitor shows locks."""
    reason = models.TextField(blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    """Empty until it is known; it is written once."""
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"pid {self.pid} {self.asked_at:%Y-%m-%d %H:%M:%S}"
