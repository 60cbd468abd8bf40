"""The REST routes of networks, groups and host facts; instances.api mounts them."""
