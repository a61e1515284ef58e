"""The command for people, `tulle`: reads and shows what the programs and the daemon do."""
