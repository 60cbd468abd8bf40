"""A channel layer in memory, for tests without redis."""

from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer


class MemoryLayer(InMemoryChannelLayer):
    """Says what `opsweb.core.layer` says."""

    def tell(self, groups: Iterable[str], message: Mapping[str, Any]) -> None:
        """Tell several groups."""
        for group in groups:
            async_to_sync(self.group_send)(group, dict(message))
