"""The watcher, one unprivileged process for each host: consoles to redis, input to guests, "something happened" to the worker."""
