"""Prediction with a codec leaves a token store, or nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile

from diffsound.callbacks import TokenStoreCallback
from diffsound.data import AudioTextDataModule
from diffsound.data.token_store import TokenStore
from diffsound.mel import MelSettings

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class LoudnessCodec(pl.LightningModule):
    """Two rows a column; every token is the loudest sample of the clip in thousandths."""

    fingerprint, rows, codebook_size = "loudness", 2, 1000
    mel = MelSettings(sample_rate=8000, n_fft=256, hop_length=64, f_max=4000)

    def __init__(self, fail_at: int = -1, length: int = 6) -> None:
        super().__init__()
        self.fail_at, self.length = fail_at, length

    def predict_step(self, batch, batch_idx):
        if batch_idx == self.fail_at:
            raise RuntimeError("out of memory")
        loudest = (batch["waveform"].amax(1) * 1000).round().long()
        return {"tokens": loudest[:, None].expand(-1, self.length)}


@pytest.fixture
def predict(tmp_path):
    """`predict(codec, **callback options)` tokenizes five clips; clip i is i + 1 tenths loud."""
    rows = []
    for i in range(5):
        soundfile.write(tmp_path / f"{i}.wav", np.full(4000, (i + 1) / 10), 8000, subtype="FLOAT")
        rows.append({"audio": f"{i}.wav", "captions": [f"{i}", "again"], "labels": ["Dog"], "split": "train"})
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def run(codec=None, **options):
        data = AudioTextDataModule(str(tmp_path / "manifest.jsonl"), LoudnessCodec.mel, 8, batch_size=2, num_workers=0)
        trainer = pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_progress_bar=False,
                             callbacks=[TokenStoreCallback(str(tmp_path / "out" / "tokens"), **options)])
        trainer.predict(codec or LoudnessCodec(), datamodule=data, return_predictions=False)
        return TokenStore(tmp_path / "out" / "tokens")

    return run


def test_prediction_becomes_a_store(predict):
    store = predict(shard_size=3)
    assert len(store) == 5
    assert (store.codec_fingerprint, store.rows, store.columns, store.codebook_size) == ("loudness", 2, 3, 1000)
    assert store.mel == LoudnessCodec.mel
    assert [store.tokens(i).tolist() for i in range(5)] == [[100 * (i + 1)] * 6 for i in range(5)]
    clip = store.clip(4)
    assert (clip.id, clip.captions, clip.labels, clip.split, clip.group) == (
        "4.wav", ["4", "again"], ["Dog"], "train", "4.wav")
    store.verify()


def test_again_replaces_or_appends(predict):
    predict()
    assert len(predict()) == 5
    assert len(predict(append=True)) == 10
    with pytest.raises(ValueError, match="is a token store already"):
        predict(overwrite=False)


def test_a_failure_leaves_no_half_store(predict, tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(LoudnessCodec(fail_at=2), shard_size=1)
    assert list((tmp_path / "out").iterdir()) == []
    predict()
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(LoudnessCodec(fail_at=1), shard_size=1)
    TokenStore(tmp_path / "out" / "tokens").verify()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tokens"]


def test_tokens_that_do_not_fill_columns_are_refused(predict):
    with pytest.raises(ValueError, match="7 tokens a clip do not fill whole columns of 2 rows"):
        predict(LoudnessCodec(length=7))
