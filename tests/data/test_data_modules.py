"""Batches: what is in them, that a seed fixes them, and that broken files are left out by name."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch

from diffsound.data import AudioTextDataModule, TokenDataModule
from diffsound.data.loading import EpochSampler
from diffsound.data.token_store import StoredClip, TokenStoreWriter
from diffsound.mel import MelSettings

MEL = MelSettings(sample_rate=8000, n_fft=256, hop_length=64, f_max=4000)
FRAMES, SAMPLES = 32, 32 * 64


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")  # where unreadable.txt goes when there is no trainer


def ramp(seconds: float) -> np.ndarray:
    """Every sample tells its place."""
    return np.arange(round(8000 * seconds)) / 32768


@pytest.fixture
def clips(tmp_path):
    """Six training clips of 1 s and a short one, two for validation; two captions each."""
    rows = []
    for i in range(9):
        soundfile.write(tmp_path / f"{i}.wav", ramp(0.05 if i == 6 else 1.0), 8000)
        rows.append({"audio": f"{i}.wav", "captions": [f"{i}a", f"{i}b"], "labels": ["Dog"],
                     "split": "val" if i > 6 else "train", "group": f"g{i}"})
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "manifest.jsonl"


def prepared(manifest, stage: str = "fit", **options) -> AudioTextDataModule:
    data = AudioTextDataModule(str(manifest), MEL, FRAMES, **{"batch_size": 4, "num_workers": 0, **options})
    data.prepare_data()
    data.setup(stage)
    return data


def epoch(loader, number: int = 0) -> list[dict]:
    loader.sampler.set_epoch(number)
    return list(loader)


def texts(batches) -> list[str]:
    return [text for batch in batches for text in batch["text"]]


def assert_same(first, second) -> None:
    assert texts(first) == texts(second)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a["waveform"], b["waveform"])


def test_epochs_have_every_training_clip_once_and_the_next_one_fills_the_last_batch(clips):
    batches = epoch(prepared(clips).train_dataloader()) + epoch(prepared(clips).train_dataloader(), 1)
    assert [tuple(batch["waveform"].shape) for batch in batches] == [(4, SAMPLES)] * 4
    assert batches[0]["waveform"].dtype == torch.float32
    seen = [text[0] for text in texts(batches)]
    assert sorted(seen[:7]) == sorted(seen[7:14]) == list("0123456")
    assert seen[:7] != seen[7:14]


def test_clips_kept_in_memory_give_the_same_batches_and_are_decoded_once(clips):
    expected = [epoch(prepared(clips).train_dataloader(), number) for number in range(2)]
    loader = prepared(clips, in_memory=True, num_workers=2).train_dataloader()
    assert_same(epoch(loader, 0), expected[0])
    for wav in clips.parent.glob("*.wav"):
        wav.unlink()
    assert_same(epoch(loader, 1), expected[1])


def test_a_waveform_is_a_piece_of_its_clip_and_a_short_clip_is_padded(clips):
    for batch in epoch(prepared(clips).train_dataloader()):
        for waveform, text in zip(batch["waveform"], batch["text"], strict=True):
            places = (waveform * 32768).round().int()
            if text[0] == "6":
                assert places.tolist() == [*range(400), *[0] * (SAMPLES - 400)]
            else:
                assert torch.equal(places.diff(), torch.ones(SAMPLES - 1))


def test_the_seed_and_the_epoch_fix_the_batches_whatever_the_workers(clips):
    first = prepared(clips, seed=3).train_dataloader()
    assert_same(epoch(first, 1), epoch(prepared(clips, seed=3, num_workers=2).train_dataloader(), 1))
    assert texts(epoch(first, 1)) != texts(epoch(first, 2))
    assert texts(epoch(first, 1)) != texts(epoch(prepared(clips, seed=4).train_dataloader(), 1))


def test_captions_and_crops_differ_between_epochs(clips):
    loader = prepared(clips).train_dataloader()
    seen, places = set(), set()
    for number in range(8):
        for batch in epoch(loader, number):
            seen |= set(batch["text"])
            places |= {round(float(waveform[0]) * 32768) for waveform in batch["waveform"]}
    assert seen == {f"{i}{c}" for i in range(7) for c in "ab"}
    assert len(places) > 20


def test_validation_takes_first_captions_and_the_start_every_time(clips):
    loader = prepared(clips).val_dataloader()
    assert texts(loader) == ["7a", "8a"]
    assert all(batch["waveform"][:, 0].eq(0).all() for batch in loader)
    assert_same(list(loader), list(loader))


def keys(batch_size=4, steps=0, processes=1, accumulate=1, items=7, phases=None) -> list[list[tuple[int, int]]]:
    """What an epoch of Lightning's shows after `steps` steps: of each batch the (epoch, index) of all processes."""
    parts = []
    for rank in range(processes):
        trainer = SimpleNamespace(world_size=processes, global_rank=rank, global_step=steps,
                                  accumulate_grad_batches=accumulate)
        parts.append(list(EpochSampler(range(items), 3, batch_size, trainer, phases)))
    assert len({len(part) for part in parts}) == 1
    order = [key for row in zip(*parts, strict=True) for key in row]
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


@pytest.mark.parametrize("phases", [None, [(0, np.array([2, 5, 6])), (1, None), (3, np.array([1]))]])
def test_a_batch_is_the_same_whatever_processes_and_accumulation(phases):
    batches = [keys(steps=steps, phases=phases)[0] for steps in range(9)]
    for steps in range(8):
        shown = keys(steps=steps, phases=phases)
        assert shown == batches[steps : steps + 2]
        for processes in (2, 4):
            assert keys(steps=steps, processes=processes, phases=phases) == shown
        for processes in (1, 2):
            halves = keys(2, steps, processes, accumulate=2, phases=phases)
            assert [a + b for a, b in zip(halves[::2], halves[1::2], strict=True)] == shown
    drawn = [key for batch in batches for key in batch]
    assert len(set(drawn)) == len(drawn)  # no item twice in an epoch, so none with the same crop and caption


def test_a_curriculum_shows_the_items_of_each_phase_from_its_first_step_on():
    few, more = np.array([5, 2, 6]), np.array([0, 1, 2, 5, 6])
    batches = [keys(steps=steps, items=9, phases=[(0, few), (2, more), (5, None)])[0] for steps in range(12)]
    order = [index for batch in batches for _, index in batch]
    for begin, end, items in [(0, 8, few), (8, 20, more), (20, 48, range(9))]:
        for first in range(begin, end, len(items)):
            part = order[first : min(first + len(items), end)]
            assert set(part) <= set(items)
            assert len(set(part)) == len(part)
            assert len(part) < len(items) or set(part) == set(items)
    numbers = [epoch for batch in batches for epoch, _ in batch]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(("phases", "message"), [
    ([(1, None)], r"at the steps \[1\]: expected 0 first"), ([], r"at the steps \[\]"),
    ([(0, None), (5, None), (5, None)], r"\[0, 5, 5\]: expected 0 first, then rising"),
    ([(0, None), (9, np.array([], int))], "no clip is left .* from step 9 on"),
])
def test_a_curriculum_that_cannot_be_is_refused(phases, message):
    with pytest.raises(ValueError, match=message):
        keys(phases=phases)


def test_a_batch_that_processes_cannot_share_is_refused(clips):
    with pytest.raises(ValueError, match="train.STAGE.batch_size 5 .* 2 processes cannot share .* multiple of 2"):
        keys(batch_size=5, processes=2)


class Recorder(pl.LightningModule):
    """Trains nothing and keeps the texts of each epoch."""

    def __init__(self):
        super().__init__()
        self.weight, self.texts = torch.nn.Parameter(torch.zeros(())), {}

    def training_step(self, batch, batch_idx):
        self.texts.setdefault(self.current_epoch, []).extend(batch["text"])
        return self.weight * 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, **options) -> pl.Trainer:
    return pl.Trainer(default_root_dir=folder, accelerator="cpu", logger=False, enable_progress_bar=False,
                      enable_model_summary=False, enable_checkpointing=False, **options)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("workers", [0, 1])  # a worker asks for items before Lightning has told the epoch
def test_a_resumed_run_sees_what_an_unbroken_one_sees(clips, tmp_path, workers):
    def fit(epochs: int, **options) -> tuple[Recorder, pl.Trainer]:
        recorder, run = Recorder(), trainer(tmp_path / "run", max_epochs=epochs)
        data = AudioTextDataModule(str(clips), MEL, FRAMES, batch_size=4, num_workers=workers)
        run.fit(recorder, datamodule=data, **options)
        return recorder, run

    whole, _ = fit(3)
    half, run = fit(2)
    run.save_checkpoint(tmp_path / "half.ckpt")
    rest, _ = fit(3, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert {**half.texts, **rest.texts} == whole.texts
    assert len(set(map(tuple, whole.texts.values()))) == 3


def break_file(path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "not audio":
        path.write_bytes(b"not audio at all")
    else:
        soundfile.write(path, np.array([0.1, np.nan]), 8000, subtype="FLOAT")  # only decoding shows it


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["missing", "not audio", "nan"])
def test_training_goes_on_without_a_broken_clip_and_names_it(clips, tmp_path, how, workers):
    break_file(tmp_path / "2.wav", how)
    data = prepared(clips, num_workers=workers)
    batches = epoch(data.train_dataloader()) + epoch(data.train_dataloader(), 1)
    assert {text[0] for text in texts(batches)} == set("013456")
    assert [len(batch["text"]) for batch in batches] == [4] * 4
    line, = (tmp_path / "run" / "unreadable.txt").read_text().splitlines()
    assert "2.wav: " in line


def test_the_report_starts_anew_and_is_logged_at_the_end(clips, tmp_path, caplog):
    break_file(tmp_path / "2.wav", "missing")
    report = tmp_path / "run" / "unreadable.txt"
    report.write_text("an older run's\n")
    data = prepared(clips)
    assert "older" not in report.read_text()
    data.teardown("fit")
    assert "1 clips could not be read and were left out" in caplog.text


def test_when_nothing_can_be_read_it_says_so(clips, tmp_path):
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the 9 clips of .*manifest.jsonl can be read, see .*unreadable.txt"):
        prepared(clips)
    assert len((tmp_path / "run" / "unreadable.txt").read_text().splitlines()) == 9


def test_long_clips_give_several_draws_that_broken_neighbours_do_not_move(clips, tmp_path):
    def draws():
        draws = prepared(clips, crops_per_clip=3).draws()
        return {item.clip.id: item.waveform for source in draws.sources for item in draws.read(source)}

    before = draws()
    assert len(before) == 8 * 3 + 1  # the short clip has nothing to draw from
    assert "6.wav" in before
    crops = [before[f"4.wav#{draw}"] for draw in range(3)]
    assert crops[0][0] == 0
    assert len({float(crop[0]) for crop in crops}) == 3
    part = prepared(clips, crops_per_clip=3).draws()
    alone = {item.clip.id: item.waveform for item in part.read(part.sources[4])}
    assert all(np.array_equal(before[key], alone[key]) for key in alone)


def test_ids_of_several_manifests_stay_apart(clips, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", ramp(1), 8000)
        (tmp_path / name / "manifest.jsonl").write_text('{"audio": "x.wav", "split": "train"}')
    draws = AudioTextDataModule([str(tmp_path / name / "manifest.jsonl") for name in "ab"], MEL, FRAMES).draws()
    assert [draws.read(source)[0].clip.id for source in draws.sources] == ["a/x.wav", "b/x.wav"]


def test_peak_scales_each_clip_and_leaves_silence(clips, tmp_path):
    soundfile.write(tmp_path / "7.wav", np.zeros(8000), 8000)
    batch, = prepared(clips, peak=0.95).val_dataloader()
    assert batch["waveform"][0].abs().max() == 0
    loudest = 7999 / 32768  # at the clip's end, outside the crop
    torch.testing.assert_close(batch["waveform"][1], torch.arange(SAMPLES) / 32768 * 0.95 / loudest)


@pytest.mark.parametrize(("options", "message"), [
    ({"frames": 3}, "frames 3 x mel.hop_length 64 is shorter"), ({"peak": 1.5}, "peak 1.5"),
    ({"crops_per_clip": 0}, "crops_per_clip 0"),
])
def test_wrong_settings_are_named(clips, options, message):
    with pytest.raises(ValueError, match=message):
        AudioTextDataModule(**{"manifest": str(clips), "mel": MEL, "frames": FRAMES, **options})


def test_a_mel_may_be_a_dict(clips):
    data = AudioTextDataModule(str(clips), {"sample_rate": 16000, "f_max": 8000}, 4)
    assert (data.window.sample_rate, data.window.num_samples) == (16000, 4 * 256)


def test_an_absent_split_is_named_with_those_there_are(clips):
    with pytest.raises(ValueError, match=r"no clips of the split 'test' .*\(found: train 7, val 2\): name one so in"):
        prepared(clips, val_split="test").val_dataloader()


@pytest.fixture
def store(tmp_path):
    tokens = np.arange(12)[:, None] * 10 + np.arange(6)
    clips = [StoredClip(str(i), [f"{i}a", f"{i}b", f"{i}c"] if i else [], [], "val" if i > 9 else "train", str(i))
             for i in range(12)]
    with TokenStoreWriter(tmp_path / "tokens", "codec", MEL, 2, 3, 256, shard_size=5) as writer:
        writer.add(tokens, clips)
    return tmp_path / "tokens"


def token_data(store, **options) -> TokenDataModule:
    data = TokenDataModule(str(store), **{"batch_size": 4, **options})
    data.setup("fit")
    return data


def test_token_batches(store):
    data = token_data(store)
    assert (data.rows, data.columns, data.codebook_size, data.codec_fingerprint) == (2, 3, 256, "codec")
    batches = epoch(data.train_dataloader())
    tokens = torch.cat([batch["tokens"] for batch in batches])
    assert tokens.dtype == torch.int64
    assert sorted(tokens[:10, 0].tolist()) == list(range(0, 100, 10))
    for row, text in zip(tokens.tolist(), texts(batches), strict=True):
        assert row == list(range(row[0], row[0] + 6))
        assert text == "" if row[0] == 0 else text[0] == str(row[0] // 10)
    batch, = data.val_dataloader()
    assert (batch["tokens"][:, 0].tolist(), batch["text"]) == ([100, 110], ["10a", "11a"])


def test_tokens_too_are_fixed_by_seed_and_epoch(store):
    first = token_data(store, seed=1).train_dataloader()
    second = token_data(store, seed=1, num_workers=1).train_dataloader()
    assert texts(epoch(first, 2)) == texts(epoch(second, 2))
    seen = {text for number in range(12) for text in texts(epoch(first, number))}
    assert seen == {"", *(f"{i}{c}" for i in range(1, 10) for c in "abc")}


def test_a_share_of_the_groups_is_the_same_share_every_time_and_cuts_none(tmp_path):
    clips = [StoredClip(str(i), [str(i)], [], "val" if i % 10 == 9 else "train", f"g{i // 2}") for i in range(4000)]
    with TokenStoreWriter(tmp_path / "tokens", "codec", MEL, 2, 3, 256, shard_size=500) as writer:
        writer.add(np.zeros((4000, 6), int), clips)
    seen = {share: set(texts(token_data(tmp_path / "tokens", share=share, batch_size=500).train_dataloader()))
            for share in (0.05, 0.3, 1.0)}
    for share, some in seen.items():
        assert len(some) == pytest.approx(3600 * share, rel=0.2)
    assert seen[0.05] < seen[0.3] < seen[1.0]
    assert all((str(int(i) ^ 1) in seen[0.3]) for i in seen[0.3] if int(i) % 10 < 8)
    assert len(texts(token_data(tmp_path / "tokens", share=0.05).val_dataloader())) == 400
    with pytest.raises(ValueError, match="share 1e-09 leaves none of the training clips"):
        token_data(tmp_path / "tokens", share=1e-9).train_dataloader()
    with pytest.raises(ValueError, match="tokens.init_args.share is 0"):
        token_data(tmp_path / "tokens", share=0)


def test_a_batch_is_its_items(store):
    dataset = token_data(store).train_dataloader().dataset
    keys = [(2, 3), (0, 9), (2, 0)]
    batch, items = dataset.__getitems__(keys), [dataset[key] for key in keys]
    assert batch["text"] == [item["text"] for item in items]
    assert batch["tokens"].tolist() == [item["tokens"].tolist() for item in items]


def test_a_damaged_store_is_refused_before_training(store, tmp_path):
    path = store / "tokens-00001.npy"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="the checksum differs for tokens-00001.npy"):
        trainer(tmp_path, max_steps=1).fit(Recorder(), datamodule=TokenDataModule(str(store)))


def test_a_store_without_validation_rows_or_none_at_all(store, tmp_path):
    with pytest.raises(ValueError, match="no clips of the split 'test' in .*tokens"):
        token_data(store, val_split="test").val_dataloader()
    with pytest.raises(ValueError, match="is not a token store .*tokens.init_args.store"):
        token_data(tmp_path / "absent")


def test_the_real_recordings(shared_data):
    data = AudioTextDataModule([str(shared_data / name / "manifest.jsonl") for name in ("esc10", "more")],
                               MelSettings(), 336, batch_size=8, num_workers=0)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["waveform"].shape == (8, 336 * 256)
    assert all(batch["text"])
