"""Tries paths from wherever it is started and prints what came back, one JSON line a target: python probe.py PORT ADDRESS...

A path counts as pinged when one echo returned, and as fetched when the page named the source address its server saw.
It runs in pretend containers and hosts; it decides nothing about what should have come back.
"""

import json
import socket
import subprocess
import sys

PATIENCE = 5  # seconds for one answer: the first packet of a path waits for neighbour resolution


def ping(address: str) -> str:
    """Send one echo request; return "" when it came back, else what ping said last."""
    done = subprocess.run(
        ["ping", "-n", "-c", "1", "-W", str(PATIENCE), address],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE + 5,
    )
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[-1]


def fetch(address: str, port: int) -> tuple[str, str]:
    """Fetch the page; return the source address its server saw and "", or "" and the reason."""
    try:
        with socket.create_connection((address, port), PATIENCE) as visit:
            visit.sendall(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            text = b"".join(iter(lambda: visit.recv(4096), b"")).decode()
    except OSError as error:
        return "", str(error)
    head, _, body = text.partition("\r\n\r\n")
    return (body, "") if head.startswith("HTTP/1.0 200 ") else ("", f"an odd answer: {head[:40]}")


def main(port: int, targets: list[str]) -> None:
    """Try every target and print its line at once, for a live display."""
    for target in targets:
        echo = ping(target)
        seen, refusal = fetch(target, port)
        print(json.dumps({"target": target, "ping": echo, "seen": seen, "http": refusal}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
