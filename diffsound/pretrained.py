"""Where the bundle of a name is: in the package, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

BUNDLES = Path(__file__).with_name("bundles")  # those that come with the package, a folder each
DESCRIPTION, WEIGHTS, CARD, ATTRIBUTION = FILES = ("bundle.yaml", "model.safetensors", "README.md", "ATTRIBUTION.md")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


MOST_BYTES = {DESCRIPTION: 2**20, CARD: 2**20}


class Found(NamedTuple):
    """A bundle's folder, and what sidecars call it: never where it lies on this machine."""

    folder: Path
    name: str  # of a shipped bundle, a hub id, or the folder's own
    revision: str | None = None  # the commit, of one from the hub


def shipped() -> dict[str, Path]:
    """The bundles that come with the package, by name."""
    return {folder.name: folder for folder in sorted(BUNDLES.glob("*")) if (folder / DESCRIPTION).is_file()}


def find(name: str, revision: str | None = None) -> Found:
    """The bundle `name`: of the package, else a folder, else a hub id "owner/name", whose files are downloaded once.

    Args:
        revision: branch, tag or commit of a hub id.
    Raises:
        ValueError: if there is none, it cannot be had from the hub, or `revision` is given for one that has none.
    """
    folder = shipped().get(name, Path(name).expanduser())
    if name and folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision is {revision!r}, but {folder} is a folder: only bundles of the hub have one")
        return Found(folder, folder.resolve().name)
    if _HUB_ID.fullmatch(name):
        return _from_hub(name, revision)
    own = ", ".join(shipped()) or "this version has none"
    raise ValueError(f"there is no bundle {name!r}: expected one of the package ({own}), the folder of one, or a hub "
                     "id such as owner/name")


def bundle_file(folder: Path, name: str) -> Path:
    """The file `name` of the bundle in `folder`.

    A link must stay in the folder; or, in the hub's cache, whose snapshots are links, lead to a blob beside them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it leads elsewhere, or is too long for what it is.
    """
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no bundle: there is no {name} in it")
    target, home = path.resolve(), folder.resolve()
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if not target.is_relative_to(home) and target.parent != blobs:
        raise ValueError(f"{path} is a link to {target}, expected a file in that folder: a bundle holds all its files")
    if (size := target.stat().st_size) > MOST_BYTES.get(name, size):
        raise ValueError(f"{path} has {size} bytes, expected at most {MOST_BYTES[name]}")
    return path


def card(folder: Path) -> str:
    """The text of a bundle's README.md; errors as `bundle_file`, and ValueError if it is not UTF-8."""
    path = bundle_file(folder, CARD)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error


def described(folder: Path) -> str:
    """The first sentence of a bundle's card, on one line: what stands after the headings."""
    lines = card(folder).splitlines()
    if lines[:1] == ["---"] and "---" in lines[1:]:  # the hub's own data about the model
        lines = lines[lines.index("---", 1) + 1:]
    return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")


def _from_hub(name: str, revision: str | None) -> Found:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, LocalEntryNotFoundError, RevisionNotFoundError

    told = name if revision is None else f"{name} at revision {revision}"
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except RevisionNotFoundError as error:
        raise ValueError(f"{name} has no revision {revision!r} on the hub: expected a branch, a tag or a commit"
                         ) from error
    except GatedRepoError as error:
        raise ValueError(f"{name} is given out on the hub to those who have agreed to its terms: agree on its page, "
                         "then log in with hf auth login") from error
    except HFValidationError as error:
        raise ValueError(f"{name!r} is neither a folder nor a hub id: {str(error).splitlines()[0]}") from error
    except LocalEntryNotFoundError as error:
        raise ValueError(f"{told} is neither a folder nor in the cache of this machine, and the hub cannot be reached: "
                         "connect once, or copy its folder here and give that as the name") from error
    except Exception as error:  # what else the hub answers, the network, the disk: by each library's own classes
        raise ValueError(f"{told} is no folder, and cannot be had from the hub ({str(error).splitlines()[0]}): check "
                         "the name; for a private one log in with hf auth login") from error
    return Found(folder, name, folder.name)
