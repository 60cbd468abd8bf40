"""Registers teams."""

from django.apps import AppConfig


class TeamsConfig(AppConfig):
    name = "opsweb.teams"
    label = "teams"
