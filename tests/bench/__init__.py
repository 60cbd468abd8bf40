"""What the panel costs beside the same thing done bare: `make bench` prints it as one table."""
