"""The panel's settings, read once from environment variables; `NAME_FILE` names a file that holds a secret."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

USUAL_PORTS = {"postgres": 5432, "postgresql": 5432, "pgsql": 5432, "mysql": 3306, "redis": 6379, "rediss": 6379}


class Environment(BaseSettings):
    """One attribute per variable of the table in docs/running.md."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    state_dir: Path = Field(Path("/var/lib/opsweb"), alias="OPSWEB_STATE_DIR")
    run_dir: Path = Field(Path("/run/opsweb"), alias="OPSWEB_RUN_DIR")
    uid_base: int = Field(800_000, alias="OPSWEB_UID_BASE", ge=1000, le=2**31)
    uid_count: int = Field(4096, alias="OPSWEB_UID_COUNT", ge=16, le=65_536)
    driver: Literal["real", "fake"] = Field("real", alias="OPSWEB_DRIVER")
    accel: Literal["auto", "kvm", "tcg"] = Field("auto", alias="OPSWEB_ACCEL")
    sweep_seconds: int = Field(15, alias="OPSWEB_SWEEP_SECONDS", ge=1, le=3600)
    host: str = Field("local", alias="OPSWEB_HOST", pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")
    bind: str = Field("127.0.0.1", alias="OPSWEB_BIND")
    port: int = Field(8000, alias="OPSWEB_PORT", ge=1, le=65_535)
    url: str = Field("", alias="OPSWEB_URL")
    kernel: Path | None = Field(None, alias="OPSWEB_KERNEL")
    guest_host_ports: str = Field("", alias="OPSWEB_GUEST_HOST_PORTS")
    console_keep_bytes: int = Field(4 * 1024**2, alias="OPSWEB_CONSOLE_KEEP_BYTES", ge=65_536)
    audit_days: int = Field(0, alias="OPSWEB_AUDIT_DAYS", ge=0, le=36_500)  # 0: for ever
    debug: bool = Field(False, alias="OPSWEB_DEBUG")
    database_url: str = Field("", alias="DATABASE_URL")
    redis_url: str = Field("", alias="REDIS_URL")

    @cached_property
    def secret_key(self) -> str:
        """Django's SECRET_KEY: from SECRET_KEY, else the file SECRET_KEY_FILE names, else `secret_key` in the state directory."""
        if value := os.environ.get("SECRET_KEY"):
            return value
        return Path(os.environ.get("SECRET_KEY_FILE") or self.state_dir / "secret_key").read_text().strip()

    @property
    def panel_group(self) -> int:
        """The gid of web and watcher: that of the VMs' directory, which `make up` gave to them."""
        return (self.state_dir / "vm").stat().st_gid

    @property
    def panel_url(self) -> str:
        """The one address under which the panel lives; cookies know no ports, so guests are never linked under its name."""
        return (self.url or f"http://localhost:{self.port}").rstrip("/")

    @property
    def panel_host(self) -> str:
        """`localhost:8000` of the panel's address."""
        return urlsplit(self.panel_url).netloc

    @property
    def redis(self) -> str:
        """Where redis is, in redis-py's and channels' spelling."""
        return self.redis_url or f"unix://{self.run_dir}/redis.sock?db=0"

    @property
    def celery_broker(self) -> str:
        """The same redis in celery's spelling."""
        url = urlsplit(self.redis)
        return f"redis+socket://{url.path}?virtual_host=0" if url.scheme == "unix" else self.redis

    @property
    def database(self) -> str:
        """DATABASE_URL, SQLite in the state directory by default."""
        return self.database_url or f"sqlite:///{self.state_dir / 'db' / 'db.sqlite3'}"

    @property
    def backends(self) -> tuple[tuple[str, int], ...]:
        """(host, port) of the database and the redis that the panel reaches by TCP; none of those that are files or sockets."""
        urls = (urlsplit(self.database), urlsplit(self.redis))
        return tuple((url.hostname, url.port or USUAL_PORTS.get(url.scheme, 0)) for url in urls if url.hostname)

    @property
    def installation(self) -> str:
        """Four hex digits that tell this panel's host objects from those of another panel on the same host."""
        return hashlib.sha256(str(self.state_dir.absolute()).encode()).hexdigest()[:4]

    @property
    def network_offsets(self) -> range:
        """Above `uid_base`, the uids that are networks': each runs its dnsmasq under one. The last ones of the range."""
        return range(self.uid_count - min(256, self.uid_count // 4), self.uid_count)

    @property
    def vm_offsets(self) -> range:
        """Above `uid_base`, the uids that are VMs'; 0 is the image builder's."""
        return range(1, self.network_offsets.start)

    @property
    def shared_guest_ports(self) -> tuple[int, ...]:
        """Host ports that every guest may reach."""
        return tuple(int(port) for port in self.guest_host_ports.replace(",", " ").split())


env = Environment()  # type: ignore[call-arg]  # every field comes from the environment
