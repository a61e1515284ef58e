"""What any program of ours needs of the machine it runs on: locks, and a stderr that ends nobody.

Knows no protocol, no network and no store. Standard library alone, because every cold start pays for it.
"""
