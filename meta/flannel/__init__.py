"""The program `flannel`: config → plan → the delegate's own configuration, kept by state, with the verbs in plugin.

It makes no link and gives no address: it tells another program what this host's share of the network is.
"""
