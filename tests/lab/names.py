"""Asks a name server, or is one: python names.py ask SERVER TYPE NAME..., python names.py answer ADDRESS SAID.

`ask` prints one JSON object, name -> its addresses or the reason why there are none; `answer` gives SAID to every question for an A
record and prints `ready` first. One question a message, UDP, RFC 1035. It runs in pretend containers and hosts.
"""

import ipaddress
import json
import socket
import struct
import sys

TYPES = {"A": 1, "AAAA": 28}
CODES = {0: "no address", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
PATIENCE = 5


def question(name: str, kind: str) -> bytes:
    """Return the message that asks, with recursion desired."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", TYPES[kind], 1)


def addresses(message: bytes) -> list[str]:
    """Return the addresses in a message's answers."""
    questions, answers = struct.unpack(">HH", message[4:8])
    at, found = 12, []
    for _ in range(questions):
        at = _behind_name(message, at) + 4
    for _ in range(answers):
        at = _behind_name(message, at)
        kind, _, _, length = struct.unpack(">HHIH", message[at : at + 10])
        if kind in TYPES.values():
            found.append(str(ipaddress.ip_address(message[at + 10 : at + 10 + length])))
        at += 10 + length
    return found


def ask(server: str, kind: str, name: str) -> list[str]:
    """Return the addresses that a server says a name has, or why it says none."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        asking.connect((server, 53))
        try:
            asking.send(question(name, kind))
            message = asking.recv(4096)
        except OSError as silence:
            return [f"silence: {silence}"]
    return addresses(message) or [CODES.get(message[3] & 15, "an odd answer")]


def answer(address: str, said: str) -> None:
    """Serve until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        print("ready", flush=True)
        while True:
            asked, source = server.recvfrom(4096)
            end = _behind_name(asked, 12) + 4
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(said)
            server.sendto(asked[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + asked[12:end] + record, source)


def _behind_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] >= 0xC0:  # the rest stands elsewhere (RFC 1035, 4.1.4)
            return at + 2
        at += message[at] + 1
    return at + 1


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        print(json.dumps({name: ask(sys.argv[2], sys.argv[3], name) for name in sys.argv[4:]}))
    else:
        answer(*sys.argv[2:])
