"""The program `portmap`: config → plan → ports / check, with the verbs in plugin.

Publishes ports of a container on addresses of its host. What the rules say is rules', who may have a port is claims'.
"""
