"""The daemon tulled: acquires this host's subnet of the overlay and keeps the tunnels to all other hosts current.

What to do is decided in modules without I/O (config, subnet.state_machine, backends, datapath.diff, firewall.rules); it
is carried out in few others (stores, subnet.manager, datapath.apply, firewall.sync). The CNI programs learn what they
need from the lease file.
"""
