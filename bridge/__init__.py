"""The program `bridge`: config → plan → wire / check, with the verbs in plugin. The model for every program of ours.

It never imports IPAM: addresses come from the program that `ipam.type` names, through cni.invoke.
"""
