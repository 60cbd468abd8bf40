"""The admin's people leave traces."""

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from opsweb.core.models import AuditEntry

OWN = "a longer one of my own"


def test_a_person_made_in_the_admin_leaves_an_audit_entry(signed_in: Callable[[User], Client], root: User) -> None:
    form = {"username": "new", "password1": OWN, "password2": OWN, "usable_password": "true"}
    assert signed_in(root).post(reverse("admin:auth_user_add"), form).status_code == 302
    entry = AuditEntry.objects.get(verb="user.add")
    assert (entry.actor_name, entry.target_label) == ("root", "new")
    assert OWN not in str(list(AuditEntry.objects.values()))
