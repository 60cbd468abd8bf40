"""`manage.py clean_host`: takes everything of ours off this host (`make clean-host`). Run as root, with the worker gone."""

from typing import Any

from django.core.management.base import BaseCommand

from instances.reconcile.drivers import hypervisor
from networks.reconcile.drivers import fabric


class Command(BaseCommand):
    help = "Erase every VM, network and rule of this panel on this host."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what went."""
        driver = hypervisor()
        for vm in driver.list():
            with driver.lock(vm):
                driver.erase(vm)
            self.stdout.write(f"erased VM {vm}")
        fabric().remove_all()
        self.stdout.write("removed the networks and the firewall rules")
