"""What is kept about locks; the locks themselves are no rows."""

from django.db import models


class Minute(models.Model):
    """How often asking for a lock went badly in one minute, over all processes."""

    minute = models.DateTimeField(primary_key=True)
    timeouts = models.PositiveIntegerField(default=0)
    skips = models.PositiveIntegerField(default=0)
    waits_over_1s = models.PositiveIntegerField(default=0)
    lost = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-minute"]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"
