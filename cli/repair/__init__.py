"""`tulle repair`: has the host's rules of living containers stand again after something flushed them.

Read in the order cache → host → mend → command.
"""
