"""What `firewall` says to the kernel, a module for each of its two rule languages.

Pure: reads and builds rules; must not run anything.
"""
