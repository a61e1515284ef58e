"""The CNI program `bridge`: connects a container to a bridge of the host. Every other program has the same shape.

`config` reads the configuration, `plan` decides, `wire` carries the plan out, `check` compares the kernel with it, and
`plugin` puts these together, one function per verb. Addresses come from the program that `ipam.type` names, which is
run through cni.invoke.
"""
