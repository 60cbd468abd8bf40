"""The `opsweb` command: a client of the panel's REST API and console socket, and of nothing else of the panel."""
