"""The program `loopback`: brings a container's own loopback device up. Runtimes run it before every other program."""
