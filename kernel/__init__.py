"""The doors to Linux: netlink, namespaces, sysctl, nft and iptables; it knows no protocol (docs/architecture.md)."""
