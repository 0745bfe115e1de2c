"""Where agents run: machines and directories."""

from django.db import models
from django.db.models import Q


class Host(models.Model):
    """A machine that runs agents. Its token is kept as a digest alone; a revoked one answers to nothing any more."""

    name = models.CharField(max_length=100, unique=True)
    token_digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hexadecimal.")
    token_hint = models.CharField(max_length=12, help_text="The token's first characters, to tell it from others.")
    created_at = models.DateTimeField()
    rotated_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(token_digest__regex="^[0-9a-f]{64}$"), name="host_token_is_a_digest"),  # noqa: S106
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) | Q(revoked_at__gte=models.F("created_at")),
                name="host_revoked_after_created",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    """A root directory on a host."""

    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="projects")
    root = models.CharField(max_length=4096)
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["host", "root"], name="project_one_per_host_and_root")]

    def __str__(self) -> str:
        return self.name
