"""The network driver `tulle` for Podman: an external plugin of netavark that composes the CNI programs."""
