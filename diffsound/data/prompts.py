"""Prompts for `predict`: a text file, a line a clip."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def clip_seed(run_seed: int, index: int) -> int:
    """The seed of clip number `index` of a run: a number below 2^53, which JSON keeps exactly."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{index}".encode()).digest()[:8], "big") >> 11


def read_prompts(path: str | Path) -> list[str]:
    """Lines of a text file without the blank ones; UTF-8, or UTF-16 that says so by its first bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is in another encoding, or has nothing but blank lines.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no prompts file at {path}: write one sentence a line, "
                                "or change prompts.init_args.file")
    raw = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not valid {encoding.upper()}; save the file as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path} is not a text file; save it as UTF-8, one prompt a line")
    prompts = [" ".join(line.split()) for line in text.splitlines()]
    prompts = [prompt for prompt in prompts if prompt]
    if not prompts:
        raise ValueError(f"{path} has no prompts: write one sentence a line")
    return prompts


class PromptDataModule(LightningDataModule):
    """Batches {"index": list[int], "text": list[str], "seed": list[int]} of the prompts in `file`, with "negative"
    if there is one.

    Args:
        file: text file, one prompt a line.
        negative: what no clip should sound like; needs a sampler with guidance_scale above 1.
        seed: of the run; clip i gets its own, derived from this and i.
        clips_per_prompt: how many clips each prompt gets.
        batch_size: clips made at once; changes speed, not sound.
    """

    def __init__(self, file: str, seed: int = 0, clips_per_prompt: int = 1, batch_size: int = 8,
                 negative: str | None = None) -> None:
        super().__init__()
        self.negative = negative
        self.file, self.seed, self.clips_per_prompt, self.batch_size = file, seed, clips_per_prompt, batch_size

    def setup(self, stage: str) -> None:
        texts = [text for text in read_prompts(self.file) for _ in range(self.clips_per_prompt)]
        shared = {} if self.negative is None else {"negative": self.negative}
        self.items = [{"index": i, "text": text, "seed": clip_seed(self.seed, i), **shared}
                      for i, text in enumerate(texts)]

    def predict_dataloader(self) -> DataLoader:
        return DataLoader(self.items, batch_size=self.batch_size, collate_fn=_as_lists)


def _as_lists(items: list[dict[str, Any]]) -> dict[str, list]:
    return {key: [item[key] for item in items] for key in items[0]}
