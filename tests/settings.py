"""Settings for unit tests: the real ones, a fast hasher, no redis."""

import os
import tempfile
from pathlib import Path

SCRATCH = Path(tempfile.mkdtemp(prefix="ow-"))
os.environ.update(
    {
        "SECRET_KEY": "unit tests only",
        "OPSWEB_STATE_DIR": str(SCRATCH / "state"),
        "OPSWEB_RUN_DIR": str(SCRATCH / "run"),
        "OPSWEB_DRIVER": "fake",
        "OPSWEB_URL": "http://testserver",
        "DATABASE_URL": "sqlite://:memory:",
    }
)
for name in ("uploads", "images", "base", "vm"):
    (SCRATCH / "state" / name).mkdir(parents=True)
(SCRATCH / "run").mkdir()

import dj_database_url  # noqa: E402

from opsweb.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHANNEL_LAYERS = {"default": {"BACKEND": "tests.fakes.layer.MemoryLayer"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
if url := os.environ.get("TEST_DATABASE_URL"):  # tests/postgres.py
    DATABASES = {"default": dj_database_url.parse(url)}
WHITENOISE_AUTOREFRESH = True
