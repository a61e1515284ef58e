"""The rules of `firewall`, one module per backend. They compute changes from a listing and execute nothing."""
