"""`diffsound generate-many`: a clip of every line of a long list of prompts, by any number of workers.

The clips are in archives `block-000000.tar`, for each a FLAC file and its sidecar, and `manifest.jsonl` lists them all
as a recipe reads them (`block-000000.tar/0000000-rain.flac`).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from diffsound.blocks import Blocks, Bulk
from diffsound.callbacks.clip_writer import clip_name
from diffsound.clip import Clip
from diffsound.data import manifest
from diffsound.data.audio import encode
from diffsound.data.prompts import PromptDataModule
from diffsound.text_to_sound import TextToSound
from diffsound.whole_file import whole_file


def generate_many(model: TextToSound, prompts: PromptDataModule, bulk: Bulk) -> None:
    """Write the archives and the manifest to `bulk.folder`. Stopped, it goes on where it was.

    The clip of a prompt is the one that `predict` makes of it, but for the last bits that depend on how many threads
    compute. Sidecars lack the seconds it took, so that every engine writes the same files.

    Raises:
        ValueError: if a prompt is longer than the model reads, or the folder holds clips of other prompts or settings.
    """
    if bulk.append:
        raise ValueError("bulk.append is for tokenize: for more clips, choose another bulk.folder")
    prompts.setup("predict")
    items, digits = prompts.items, len(str(len(prompts.items) - 1))
    model.check_texts([item["text"] for item in items], [item["negative"] for item in items if "negative" in item])
    folder = Path(bulk.folder)
    asked = hashlib.sha256(json.dumps(items).encode()).hexdigest()
    plan = {"parts": model.fingerprints, "sampler": model.sampler.spec, "columns": model.columns, "prompts": asked,
            "batch_size": prompts.batch_size}
    blocks = Blocks("generate", folder, ".tar", items, plan, bulk, keep=True)
    blocks.run(Generator(model, prompts.batch_size, digits))
    clips = [manifest.Clip(path / f"{clip_name(item['index'], item['text'], digits)}.flac", [item["text"]])
             for number, path in enumerate(blocks.paths()) for item in blocks.part(number)]
    manifest.write(folder / "manifest.jsonl", clips)
    print(f"{len(items)} clips are in {folder}/, listed in manifest.jsonl")


class Generator:
    """Makes the archive of a block."""

    def __init__(self, model: TextToSound, batch_size: int, digits: int) -> None:
        self.model, self.batch_size, self.digits = model, batch_size, digits

    def __call__(self, items: Sequence[dict[str, Any]], path: Path, device: torch.device) -> None:
        model = self.model.to(device)

        def write(partial: Path) -> None:
            with tarfile.open(partial, "w") as archive:
                for start in range(0, len(items), self.batch_size):
                    batch = items[start:start + self.batch_size]
                    negatives = [item["negative"] for item in batch if "negative" in item] or None
                    clips = model([item["text"] for item in batch], [item["seed"] for item in batch], negatives)
                    for item, clip in zip(batch, clips, strict=True):
                        _add(archive, clip_name(item["index"], item["text"], self.digits), clip)

        whole_file(path, write)


def _add(archive: tarfile.TarFile, name: str, clip: Clip) -> None:
    sidecar = {key: value for key, value in clip.sidecar.items() if key != "seconds"}
    for suffix, data in [(".flac", encode(clip.waveform.numpy(), clip.sample_rate, ".flac")),
                         (".json", json.dumps(sidecar, indent=1, ensure_ascii=False).encode())]:
        member = tarfile.TarInfo(name + suffix)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
