"""Checkpoints are whole, or not there."""

import errno
from pathlib import Path

import pytest
import torch
from training_process import diffusion, fit, write_store

from diffsound.callbacks.last_checkpoint import WholeFiles
from diffsound.diffusion import CrossEntropy


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one_whole(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, path)
    before = path.read_bytes()

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left.*last\.ckpt"):
        WholeFiles().save_checkpoint({"step": 2}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Evil:
    def __reduce__(self):
        return open, ("run", "w")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("damage", "message"), [
    (lambda path: path.write_bytes(path.read_bytes()[:-200]), "last.ckpt is not a checkpoint that can be read"),
    (lambda path: torch.save({"state_dict": Evil()}, path), "last.ckpt is not a checkpoint that can be read"),
    (lambda path: torch.save({"state_dict": {}}, path), "last.ckpt is not a Diffsound checkpoint"),
])
def test_a_checkpoint_that_is_none_is_refused_in_one_line_when_training_goes_on(tmp_path, monkeypatch, damage, message):
    monkeypatch.chdir(tmp_path)
    store = write_store(tmp_path / "tokens")
    fit(diffusion(CrossEntropy(), "adamw"), store, tmp_path / "a", steps=1)
    damage(tmp_path / "a" / "last.ckpt")
    with pytest.raises(ValueError, match=message) as refused:
        fit(diffusion(CrossEntropy(), "adamw"), store, tmp_path / "a", steps=2, ckpt_path=tmp_path / "a" / "last.ckpt")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
