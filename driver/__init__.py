"""The network driver `tulle` for Podman: a plugin of netavark that runs the CNI programs."""
