"""The CNI program `loopback`: sets the container's own loopback device up.

Runtimes run it before every other program.
"""
