"""The userspace data path of the backend udp: a process of its own, so that a restart of tulled loses no packet."""
