"""Packages of the npm registry, fetched by npm and checked against what was tested.

npm knows which registry this machine uses and how it is reached; nothing of a package
is executed here.
"""

import base64
import hashlib
import io
import pathlib
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping

from deeplab_tf import files
from deeplab_tf.errors import UserError

_SECONDS = 300
_ABOUT = (
    "The page's runtime comes from the npm registry: install Node.js, which has npm, "
    "and connect to the network"
)


def read(package: str, digest: str) -> Mapping[str, bytes]:
    """The files of a package, by their paths in it.

    Fetched once; from then on it lies in the cache, see `files.cache`.

    Args:
      package: name and version, as "@litertjs/core@2.5.3".
      digest: SHA-512 of its archive in base64, which npm calls its integrity.

    Raises:
      UserError: npm is missing or cannot fetch it, or it is another archive.
    """
    path = files.cache() / f"{package.lstrip('@').replace('/', '-')}.tgz"
    if not path.exists():
        with files.replacing(path) as temporary:
            temporary.write_bytes(_pack(package, path))
    content = path.read_bytes()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != digest:
        raise UserError(
            f"{path}: is not the archive of {package} that was tested (SHA-512 "
            f"{found:.16}... instead of {digest:.16}...); delete it and try again."
        )
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        opened = {m.name: archive.extractfile(m) for m in archive if m.isfile()}
        return {
            name.partition("/")[2]: file.read() for name, file in opened.items() if file
        }


def _pack(package: str, path: pathlib.Path) -> bytes:
    """The archive, which npm writes into a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--loglevel=error", "--ignore-scripts"]
        try:
            subprocess.run(
                command,
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
            (archive,) = pathlib.Path(folder).glob("*.tgz")
            return archive.read_bytes()
        except FileNotFoundError:
            why = "npm was not found"
        except subprocess.TimeoutExpired:
            why = f"npm had no answer in {_SECONDS} seconds"
        except (subprocess.CalledProcessError, ValueError) as error:
            said = str(getattr(error, "stderr", "") or error).strip()
            why = f"npm pack {package} failed: {said:.300}"
    raise UserError(f"{why}. {_ABOUT}, or put the archive of {package} at {path}.")
