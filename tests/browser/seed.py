"""The cast, an image that is built, and a token for the tests' own calls; run inside the panel's own Django by `Stack.seed`."""

CAST = """
import json
from django.contrib.auth.models import User
from instances.models import Image
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host
from opsweb.teams.models import Team
from opsweb.teams.services import add_member, create_token

team, host = Team.objects.create(name="payments", quota_instances=40), Host.objects.get()
for name, role in (("ana", "admin"), ("olga", "operator"), ("vic", "viewer"), ("nobody", "")):
    user = User.objects.create_user(name, password="correct horse battery")
    if role:
        add_member(team, user, role, actor=SYSTEM)
image = Image.objects.create(
    team=team,
    host=host,
    name="ledger",
    digest="7f3a91c2" * 8,
    size=9_437_184,
    recipe={"program": "/ledger"},
    facts={"program": "/ledger", "interpreter": "/lib64/ld-linux-x86-64.so.2", "libraries": ["/lib/x86_64-linux-gnu/libc.so.6"]},
)
token = create_token(User.objects.get(username="ana"), "tests", actor=SYSTEM)
print(json.dumps({"image": str(image.pk), "token": token}))
"""

# Stops an instance while the web is down, and waits until that is so.
STOP = """
import time
from instances.models import Instance
from instances.services import power
from instances.states import Verb
from opsweb.core.access import SYSTEM

row = Instance.objects.get(pk="{}")
power.request(Verb.STOP, row, actor=SYSTEM)
deadline = time.monotonic() + 15
while Instance.objects.get(pk=row.pk).observed != "stopped" and time.monotonic() < deadline:
    time.sleep(0.1)
"""
