"""The warm way in: a supervisor and its workers, which serve the launcher's requests with everything imported.

Runs the programs' own entry points and nothing else.
"""
