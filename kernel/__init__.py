"""Everything that talks to the Linux kernel: netlink, namespaces, sysctl, nft and iptables (docs/architecture.md)."""
