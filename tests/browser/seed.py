"""The cast and a few instances for the browser tests; run inside the panel's own Django by `Stack.seed`."""

CAST = """
from django.contrib.auth.models import User
from opsweb.core.access import SYSTEM
from opsweb.teams.models import Team, OneTimePassword
from opsweb.teams.services import add_member
team, _ = Team.objects.get_or_create(name="payments")
for name, role in (("ana", "admin"), ("olga", "operator"), ("vic", "viewer"), ("nobody", "")):
    user = User.objects.create_user(name, password="correct horse battery")
    if role:
        add_member(team, user, role, actor=SYSTEM)
"""

# An image that is built, so that an instance of it starts at once.
INSTANCES = """
import json
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host
from opsweb.teams.actors import actor_for
from django.contrib.auth.models import User
from instances.models import Image
from instances.services import create
from instances.services.create import InstanceSpec
from opsweb.teams.models import Team
ana = actor_for(User.objects.get(username="ana"))
team, host = Team.objects.get(name="payments"), Host.objects.get()
image, _ = Image.objects.get_or_create(
    team=team, name="ledger", defaults={"host": host, "digest": "7f3a91c2" * 8, "size": 9_437_184, "recipe": {"program": "/ledger"},
    "facts": {"program": "/ledger", "interpreter": "/lib64/ld-linux-x86-64.so.2", "libraries": ["/lib/x86_64-linux-gnu/libc.so.6"]}})
made = {}
for name, start, spec in SPECS:
    instance, _ = create.create(team, name, image, InstanceSpec(**spec), actor=ana, start=start)
    made[name] = str(instance.pk)
print(json.dumps(made))
"""
