"""The program `tuning`: config → plan → backup → wire / check, with the verbs in plugin.

Changes kernel parameters and properties of the container's interface, remembers what was there, and puts it back.
"""
