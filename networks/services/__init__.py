"""Writes of networks, NICs, rules and port forwards: the only way in for every door."""
