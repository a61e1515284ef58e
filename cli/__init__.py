"""The command for people, `tulle`: it reads and shows, and decides nothing that a program or the daemon decides."""
