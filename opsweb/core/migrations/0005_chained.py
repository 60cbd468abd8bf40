"""Chains the entries that are there, in the order of their ids."""

from django.db import migrations

from opsweb.core.chain import digest_of, joined

AT_ONCE = 500


def chain(apps, schema_editor):
    entries = apps.get_model("core", "AuditEntry").objects
    head, previous, last, ready = "", "", 0, True
    while ready:
        ready = list(entries.filter(pk__gt=last).order_by("pk")[:AT_ONCE])
        for entry in ready:
            previous = head
            head = joined(previous, digest_of(entry))
            entry.previous, entry.hash, last = previous, head, entry.pk
        entries.bulk_update(ready, ["previous", "hash"])
    if head:
        apps.get_model("core", "AuditChain").objects.create(pk=1, previous=previous, head=head)


class Migration(migrations.Migration):
    dependencies = [("core", "0004_chain")]
    operations = [migrations.RunPython(chain, migrations.RunPython.noop)]
