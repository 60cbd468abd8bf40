"""Keeps the host's networks as the rows want them. Called by tasks and by instances.reconcile."""
