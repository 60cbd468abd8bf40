"""What people may write into args, env, hosts and nameservers of an instance. Called by create and edit (SEC-D1)."""

import re
from ipaddress import AddressValueError, IPv4Address

from instances.models import Instance
from opsweb.core.errors import Invalid

MAX_TEXT = 64 * 1024  # bytes of args and env together, with the byte that ends each
MAX_HOSTS = 500
MAX_NAMESERVERS = 8
HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})", re.ASCII)


def check_texts(instance: Instance) -> None:
    """Args and env. Raises: Invalid."""
    fields = (("args", instance.args), ("env", [*instance.env, *instance.env.values()]), ("secret_env", instance.secret_env))
    for field, texts in fields:
        if not all(isinstance(text, str) for text in texts):
            raise Invalid("Args and env are texts. Put numbers in quotes.", fields={field: ["not a text"]})
        if any("\0" in text for text in texts):
            raise Invalid("Args and env can't hold a NUL character.", fields={field: ["NUL"]})
        if any("\ud800" <= char <= "\udfff" for text in texts for char in text):
            raise Invalid("Args and env are UTF-8; half a surrogate pair is none.", fields={field: ["not UTF-8"]})
    if sum(len(text.encode()) + 1 for _, texts in fields for text in texts) > MAX_TEXT:
        raise Invalid(f"Args and env together may have {MAX_TEXT} bytes.", fields={"env": ["too long"]})
    for name in instance.env:
        if not name or "=" in name:
            raise Invalid(f"“{name}” is no name of an environment variable.", fields={"env": [name]})


def check_hosts(instance: Instance) -> None:
    """Names and addresses: they end up as words of lines in the guest's /etc/hosts and resolv.conf. Raises: Invalid."""
    for field, what, most in (("hosts", instance.hosts, MAX_HOSTS), ("nameservers", instance.nameservers, MAX_NAMESERVERS)):
        if len(what) > most:
            raise Invalid(f"There are {len(what)} {field}; at most {most} are taken.", fields={field: ["too many"]})
    for host in instance.hosts:
        if not HOST_NAME.fullmatch(host):
            raise Invalid(f"“{host}” is no host name.", fields={"hosts": [host]})
    for field, addresses in (("hosts", instance.hosts.values()), ("nameservers", instance.nameservers)):
        for address in addresses:
            _check_address(field, address)


def _check_address(field: str, address: str) -> None:
    try:
        IPv4Address(address)
    except AddressValueError as error:
        raise Invalid(f"“{address}” is no IPv4 address.", fields={field: [address]}) from error
