"""What every program needs of the machine: locks, files, a stderr that never blocks, the service manager.

It is standard library only, because every cold start imports it.
"""
