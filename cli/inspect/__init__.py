"""Reads what there is on this host and how other hosts are reached; changes nothing."""
