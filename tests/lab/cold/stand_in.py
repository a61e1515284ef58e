"""What stand_in.c starts: notes how it was started as a line of JSON in the file $NOTES, prints $SAYS and exits with $EXIT."""

import hashlib
import json
import os
import sys
from pathlib import Path


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


descriptors = [descriptor for descriptor in range(256) if is_open(descriptor)]
own = Path("/proc/self/environ")  # a test may hide it
environ = own.read_text().split("\0")[:-1] if own.exists() else []
stdin = os.fstat(0)
content = sys.stdin.buffer.read() if os.environ.get("READ", "1") == "1" else b""
noted = {
    "argv": sys.argv[1:],
    "environ": environ,
    "verb": os.environ.get("CNI_COMMAND"),
    "stdin": hashlib.sha256(content).hexdigest(),
    "size": len(content),
    "inode": stdin.st_ino,
    "descriptors": descriptors,
}
with Path(os.environ["NOTES"]).open("a") as notes:
    notes.write(json.dumps(noted) + "\n")
print(os.environ.get("SAYS", "cold"), end="", flush=True)
sys.exit(int(os.environ.get("EXIT", "0")))
