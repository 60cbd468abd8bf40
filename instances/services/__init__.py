"""Every write of instances, images and uploads. Each has one shape: access, state, then in one transaction save, audit, event."""
