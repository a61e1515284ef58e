"""Netlink: messages, the socket that carries them, and what the kernel answers, as values."""
