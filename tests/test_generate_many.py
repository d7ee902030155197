"""Many prompts become archives of clips: the same by every engine, each clip that which `predict` would make."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
import soundfile
import torch
from tiny_system import tiny_system

from diffsound.blocks import Bulk
from diffsound.data import AudioTextDataModule, PromptDataModule, manifest
from diffsound.generate_many import Generator, generate_many
from diffsound.mel import MelSettings

TEXTS = ["a dog barks", "rain falls", "!", "two knocks", "a bell, then a horn", "wind", "wind"]


@pytest.fixture(scope="module")
def model():
    return tiny_system(MelSettings()).requires_grad_(False)


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(TEXTS))
    return lambda **options: PromptDataModule(str(tmp_path / "prompts.txt"), **{"batch_size": 2, **options})


def run(model, prompts, folder, **bulk):
    generate_many(model, prompts, Bulk(folder=str(folder), **{"engine": "process", "block_size": 3, **bulk}))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_prompt_has_the_clip_of_its_seed(model, prompts, tmp_path):
    files = run(model, prompts(clips_per_prompt=2), tmp_path / "many")
    assert sorted(files) == [*(f"block-00000{i}.tar" for i in range(5)), "manifest.jsonl", "plan.json"]
    data = prompts(clips_per_prompt=2)
    data.setup("predict")
    listed = manifest.read(tmp_path / "many" / "manifest.jsonl")
    assert [clip.captions for clip in listed] == [[text] for text in TEXTS for _ in range(2)]
    for clip, item in zip(listed, data.items, strict=True):
        with tarfile.open(clip.audio.parent) as archive:
            samples, rate = soundfile.read(io.BytesIO(archive.extractfile(clip.audio.name).read()), dtype="float32")
            sidecar = json.loads(archive.extractfile(clip.audio.stem + ".json").read())
        alone = model([item["text"]], [item["seed"]])[0]
        assert (sidecar["text"], sidecar["seed"], rate) == (item["text"], item["seed"], 22050)
        assert sidecar["tokens"] == alone.tokens.tolist()
        torch.testing.assert_close(torch.from_numpy(samples), alone.waveform, atol=1e-4, rtol=0)


@pytest.mark.parametrize("engine", ["cores", "ray"])
def test_every_engine_writes_the_same_bits(model, prompts, tmp_path, engine):
    if engine == "ray":
        pytest.importorskip("ray")
    expected = run(model, prompts(), tmp_path / "process")
    assert run(model, prompts(), tmp_path / engine, engine=engine, workers=2) == expected


def test_a_stopped_run_goes_on(model, prompts, tmp_path, monkeypatch):
    expected, made = run(model, prompts(), tmp_path / "whole"), []

    def stop(self, items, path, device, work=Generator.__call__):
        made.append(items[0]["index"])
        if made == [0, 3]:
            raise KeyboardInterrupt
        work(self, items, path, device)

    monkeypatch.setattr(Generator, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        run(model, prompts(), tmp_path / "many")
    assert run(model, prompts(), tmp_path / "many") == expected
    assert made == [0, 3, 3, 6]


def test_clips_of_other_prompts_are_kept(model, prompts, tmp_path):
    before = run(model, prompts(), tmp_path / "many")
    with pytest.raises(ValueError, match="holds 3 blocks that were made from other clips or settings"):
        run(model, prompts(seed=1), tmp_path / "many")
    with pytest.raises(ValueError, match="bulk.append is for tokenize"):
        run(model, prompts(), tmp_path / "many", append=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "many").iterdir()} == before


def test_a_recipe_can_train_on_them(model, prompts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(model, prompts(), tmp_path / "many")
    data = AudioTextDataModule("many/manifest.jsonl", MelSettings(), 64, batch_size=2, num_workers=0)
    data.setup("fit")
    texts = [text for batch in [*data.train_dataloader(), *data.val_dataloader()] for text in batch["text"]]
    assert set(texts) == set(TEXTS)


def test_a_prompt_that_is_too_long_is_named_before_anything_is_made(model, prompts, tmp_path):
    (tmp_path / "prompts.txt").write_text("rain\n" + "bark " * 100)
    with pytest.raises(ValueError, match="the prompt 'bark bark .* has 101 word pieces"):
        run(model, prompts(), tmp_path / "many")
    assert not (tmp_path / "many").exists()
