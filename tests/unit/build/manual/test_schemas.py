"""Claims about what schemas tell the manual:

- a key stands with its path, through objects, lists and references to other files, its type and its words
- where a key has words of its own, they win over those of what it refers to
"""

from build.manual import schemas


def test_keys_stand_with_their_paths() -> None:
    assert {"ipam.ranges[][].subnet", "ipam.routes[].dst", "runtimeConfig.ipRanges[][].gateway"} <= set(
        schemas.paths("host-local.json")
    )
    assert {"vlanTrunk[].id", "dns.search[]", "args.cni.mac"} - set(schemas.paths("bridge.json")) == {"dns.search[]"}


def test_a_key_has_type_and_words() -> None:
    rows = schemas.keys("portmap.json")
    assert "| `backend` | `iptables`, `nftables` | What translates: " in rows
    assert "| `markMasqBit` | integer, 0 to 31 | The bit " in rows


def test_own_words_win() -> None:
    rows = schemas.keys("host-local.json").splitlines()
    assert next(row for row in rows if row.startswith("| `ipam.dataDir` |")).endswith(
        "with a lease /run/tulle/books. |"
    )
    assert next(row for row in rows if row.startswith("| `ipam.routes[].dst` |")).endswith("like 0.0.0.0/0. |")
