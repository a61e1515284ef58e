"""`tulle repair`: adds the rules of living containers again after something flushed them.

Read in the order cni_cache, attachments, restore, then cli.commands.repair.
"""
