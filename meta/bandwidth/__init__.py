"""The program `bandwidth`: config → plan → wire / check, with the verbs in plugin.

Limits what a container sends and receives with token buckets on the host's end of its veth.
"""
