"""Claims: the archive names its layer by the digest it has, and the layer holds busybox, its names and the page."""

import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path

from tests.lab import image


def content(archive: tarfile.TarFile, name: str) -> bytes:
    entry = archive.extractfile(name)
    assert entry is not None
    return entry.read()


def test_the_archive_names_its_layer_by_digest_and_the_layer_holds_the_page(tmp_path: Path) -> None:
    with tarfile.open(image.write(tmp_path / "image.tar")) as archive:
        (manifest,) = json.loads(content(archive, "manifest.json"))
        layer = content(archive, manifest["Layers"][0])
        configuration = json.loads(content(archive, manifest["Config"]))

    assert manifest["RepoTags"] == [image.IMAGE]
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=BytesIO(layer)) as files:
        assert content(files, "www/index.html").decode() == image.PAGE
        assert {f"bin/{applet}" for applet in image.APPLETS} < set(files.getnames())
