"""Teams, their members, quotas and API tokens."""

import hashlib

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

NAME = RegexValidator(r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z", "Use lower-case letters, digits and hyphens, 40 at most.")


class Team(models.Model):
    """Who owns things, and how much it may own. A stopped VM counts too (INV-13)."""

    name = models.CharField(max_length=40, unique=True, validators=[NAME])
    quota_instances = models.PositiveIntegerField(default=20)
    quota_vcpus = models.PositiveIntegerField(default=32)
    quota_memory_mib = models.PositiveIntegerField("quota memory (MiB)", default=16_384)
    quota_networks = models.PositiveIntegerField(default=5)
    quota_addresses = models.PositiveIntegerField(default=64, help_text="NICs on networks; each has an address reserved.")
    quota_forwards = models.PositiveIntegerField(default=100)
    quota_rules = models.PositiveIntegerField(default=200)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="teams")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one team."""

    class RoleName(models.TextChoices):
        VIEWER = "viewer"
        OPERATOR = "operator"
        ADMIN = "admin"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=RoleName, default=RoleName.VIEWER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("user", "team"), name="one_role_per_person_and_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}: {self.role}"


class Token(models.Model):
    """An API token: shown once, kept as a hash."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=8, editable=False, help_text="The first characters, to tell tokens apart.")
    scopes = models.CharField(max_length=40, default="read write", validators=[RegexValidator(r"^(read|write)( (read|write))?\Z")])
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.label} ({self.prefix}…)"

    @staticmethod
    def digest_of(secret: str) -> str:
        """32 random bytes need no slow hash: SHA-256 is enough."""
        return hashlib.sha256(secret.encode()).hexdigest()


class Invitation(models.Model):
    """A link into a team, kept as a hash. The row goes when somebody joins by it, or when it is taken back."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Membership.RoleName)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"invitation to {self.team} as {self.role}"


class OneTimePassword(models.Model):
    """The first admin's password while nobody has used it: shown again by every `make up` until then."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="one_time_password")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"unused password of {self.user}"
