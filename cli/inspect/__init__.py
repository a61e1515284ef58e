"""Reads what there is on this host, and whether other hosts can be reached. Changes nothing."""
