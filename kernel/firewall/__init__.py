"""The kernel's two rule languages, nftables and iptables, each changed in transactions."""
