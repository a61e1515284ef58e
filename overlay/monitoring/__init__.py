"""What tulled tells of itself: the log, health and metrics over HTTP."""
