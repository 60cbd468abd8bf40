"""Registers the shared domain."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "opsweb.core"
    label = "core"
