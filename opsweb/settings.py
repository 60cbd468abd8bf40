"""Django's settings. What a person may change comes from the environment (opsweb/environment.py, docs/running.md)."""

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from celery.schedules import crontab

from opsweb.environment import env

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]

SECRET_KEY = env.secret_key
DEBUG = env.debug
# The panel's own name is enforced by core.middleware, which redirects a browser that comes under another one.
ALLOWED_HOSTS = ["*"]
CSRF_TRUSTED_ORIGINS = [env.panel_url]

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
    "channels",
    "opsweb.core",
    "opsweb.teams",
    "networks",
    "instances",
]

MIDDLEWARE = [
    "opsweb.core.middleware.request_id",
    "opsweb.core.middleware.few_writers",
    "opsweb.core.middleware.panel_name",
    "django.middleware.security.SecurityMiddleware",
    "opsweb.core.middleware.content_security_policy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "opsweb.teams.first_password.own_password_first",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "opsweb.core.middleware.domain_errors",
]

ROOT_URLCONF = "opsweb.urls"
ASGI_APPLICATION = "opsweb.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "instances.context.panel",
            ],
        },
    },
]


def database() -> dict[str, object]:
    """Connections are kept from one request or task to the next.

    SQLite needs WAL and IMMEDIATE, or two writing processes meet "database is locked".
    """
    config = dict(dj_database_url.parse(env.database, conn_max_age=None, conn_health_checks=True))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return config


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

SECURE_PANEL = urlsplit(env.panel_url).scheme == "https"
SESSION_COOKIE_NAME = "opsweb_session"
SESSION_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_SECURE = SECURE_PANEL
CSRF_COOKIE_NAME = "opsweb_csrf"
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SECURE = SECURE_PANEL
CSRF_FAILURE_VIEW = "opsweb.core.views.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_PANEL else None
SECURE_SSL_REDIRECT = SECURE_PANEL
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_PANEL else 0
# Other names under the panel's domain, and browsers' preload lists, are not ours to decide about.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
X_FRAME_OPTIONS = "DENY"
# An upload comes in chunks of 8 MiB (instances.api.uploads); a form is never larger than this.
DATA_UPLOAD_MAX_MEMORY_SIZE = 9 * 1024**2

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # `static/` is served as it lies: there is no build step

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "opsweb.core.layer.PanelLayer",
        "CONFIG": {"hosts": [env.redis], "prefix": "opsweb"},
    },
}

CELERY_BROKER_URL = env.celery_broker
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# Nobody steers the worker of root through redis: not its pool, not its queues, not its end.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 1}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "instances.sweep",
        "schedule": env.sweep_seconds,
        "options": {"queue": f"host.{env.host}", "expires": env.sweep_seconds},
    },
}

if env.audit_days:
    CELERY_BEAT_SCHEDULE["trim-audit"] = {
        "task": "core.trim_audit",
        "schedule": crontab(hour="3", minute="30"),
        "options": {"queue": f"host.{env.host}"},
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "filters": {"health": {"()": "opsweb.core.logs.NoHealthChecks"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["health"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"httpx": {"level": "WARNING"}, "qemu.qmp": {"level": "CRITICAL"}},  # QEMUs come and go; we say so ourselves
}

UNFOLD = {
    "SITE_TITLE": "opsweb",
    "SITE_HEADER": "opsweb",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: f"{STATIC_URL}favicon.svg"}],
    # Of our accent (static/css/tokens.css), light to dark.
    "COLORS": {
        "primary": {
            "50": "#eef3fe",
            "100": "#dde7fd",
            "200": "#bccffb",
            "300": "#83abff",
            "400": "#5a8af5",
            "500": "#2f68dc",
            "600": "#2360e0",
            "700": "#1c4db4",
            "800": "#183f92",
            "900": "#173775",
            "950": "#0f2247",
        }
    },
}
