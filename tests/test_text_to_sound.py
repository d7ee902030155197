"""How the parts are joined, and what a call gives; the trained chain runs in test_smoke.py."""

import base64
import io
import json
import math
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import soundfile
import torch
from tiny_system import tiny_codec, tiny_decoder

from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.callbacks.clip_writer import clip_name
from diffsound.clip import loudness_gain
from diffsound.data.audio import load
from diffsound.data.prompts import clip_seed
from diffsound.diffusion import (
    AncestralSampler,
    ConfidenceSampler,
    CrossEntropy,
    Denoiser,
    DiscreteDiffusion,
    FirstHittingSampler,
    LinearSchedule,
    Mask,
    PuritySampler,
    StridedSampler,
    UniformTimesteps,
)
from diffsound.mel import MelSettings
from diffsound.text_encoder import CLIPTextEncoder, SmallTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import Generator, GriffinLim, MelGAN

MEL = MelSettings()


@pytest.fixture(scope="module")
def codec():
    return tiny_codec(MEL)


@pytest.fixture(scope="module")
def decoder(codec):
    module = tiny_decoder(codec, layers=2, text="prefix", positions="column")
    for parameter in module.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.fixture(scope="module")
def model(codec, decoder):
    return TextToSound(decoder, codec, GriffinLim(MEL, iterations=2), StridedSampler(6, guidance_scale=1.5), columns=4)


TEXTS = ["rain", "a dog barks three times, then a very long train passes by", "wind", "a bell", "rain"]
SEEDS = [3, 1, 4, 1, 3]


@pytest.fixture(scope="module")
def neural(codec, decoder):
    """The same with a MelGAN, whose convolutions are batched work."""
    torch.manual_seed(4)
    vocoder = MelGAN(MEL, Generator(channels=8, residual_layers=1), mel_weight=1).eval()
    return TextToSound(decoder, codec, vocoder, StridedSampler(6, guidance_scale=1.5), columns=4)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [1, 0], [2]])
@pytest.mark.parametrize("kind", ["model", "neural"])
def test_a_clip_is_a_function_of_text_and_seed_to_the_last_bit(kind, order, request):
    model = request.getfixturevalue(kind)
    together = model([TEXTS[i] for i in order], [SEEDS[i] for i in order])
    for i, clip in zip(order, together, strict=True):
        alone = model(TEXTS[i], SEEDS[i])
        for one, other in ((clip.tokens, alone.tokens), (clip.mel, alone.mel), (clip.waveform, alone.waveform)):
            assert torch.equal(one, other)
        assert clip.sidecar["sha256"] == alone.sidecar["sha256"]


def test_threads_do_not_change_the_tokens_and_hardly_the_sound(neural):
    threads = torch.get_num_threads()
    clips = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            clips.append(neural(TEXTS[:2], SEEDS[:2])[1])
    finally:
        torch.set_num_threads(threads)
    one, two = clips
    assert torch.equal(one.tokens, two.tokens)
    torch.testing.assert_close(one.waveform, two.waveform, atol=1e-5, rtol=1e-4)
    assert [clip.sidecar["threads"] for clip in clips] == [1, 2]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_a_stream_has_the_clips_of_one_call(model, batch_size):
    options = {"steps": 3, "duration": 0.5}
    expected = model(TEXTS, seed=7, num=2, **options)
    streamed = list(model.stream(iter(TEXTS), seed=7, num=2, batch_size=batch_size, **options))
    assert [clip.sidecar["text"] for clip in streamed] == [text for text in TEXTS for _ in range(2)]
    for index, (one, other) in enumerate(zip(streamed, expected, strict=True)):
        assert one.sidecar["seed"] == clip_seed(7, index)
        assert torch.equal(one.waveform, other.waveform)
        assert torch.equal(one.waveform, model(one.sidecar["text"], one.sidecar["seed"], **options).waveform)


def test_a_stream_reads_no_further_than_its_batch(model):
    read = []

    def texts():
        for text in TEXTS:
            read.append(text)
            yield text

    stream = model.stream(texts(), batch_size=2)
    assert read == []
    next(stream)
    assert read == TEXTS[:2]
    for options, message in [({"batch_size": 0}, "batch_size is 0"), ({"num": 0}, "num is 0"),
                             ({"steps": 99}, "steps is 99"), ({"seed": -1}, "seed is -1"),
                             ({"guidance": 0.5, "duration": 9}, "duration is 9")]:
        with pytest.raises(ValueError, match=message):
            model.stream(TEXTS, **options)
    with pytest.raises(ValueError, match="given the text 'rain', expected many"):
        model.stream("rain")


def test_one_text_gives_one_clip_and_a_list_a_list(model):
    clip = model("rain", seed=3)
    assert clip.sidecar["seed"] == 3
    assert torch.equal(clip.waveform, model(["rain"], [3])[0].waveform)
    assert [one.sidecar["seed"] for one in model(("rain", "wind"), seed=3)] == [clip_seed(3, 0), clip_seed(3, 1)]
    assert [one.sidecar["seed"] for one in model("rain", seed=[5, 6], num=2)] == [5, 6]
    assert len(model("rain", num=3)) == 3
    assert model([], seed=3) == []
    negatives = model(["rain", "wind"], negative=["wind", "rain"])
    assert [one.sidecar["negative"] for one in negatives] == ["wind", "rain"]
    assert [one.sidecar["negative"] for one in model(["rain", "wind"], negative="noise")] == ["noise"] * 2


def test_options_are_of_one_call_alone(model):
    own, before = model.sampler.spec, model("rain", seed=3)
    clip = model("rain", seed=3, steps=2, guidance=4.0, duration=0.2)
    assert (clip.sidecar["sampler"]["init_args"]["num_steps"], clip.sidecar["grid"]["columns"]) == (2, 2)
    assert clip.sidecar["sampler"]["init_args"]["guidance_scale"] == 4.0
    assert len(clip.waveform) == 2 * 16 * 256
    assert model.sampler.spec == own
    assert torch.equal(before.waveform, model("rain", seed=3).waveform)
    listed = StridedSampler(steps=[6, 3], temperature=0.5)
    spec = model("rain", steps=4, sampler=listed).sidecar["sampler"]
    assert spec == StridedSampler(4, temperature=0.5).spec
    assert torch.equal(model("rain", sampler=StridedSampler(2)).tokens,
                       model("rain", sampler=StridedSampler(3), steps=2).tokens)


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_a_duration_is_rounded_up_to_columns(model, columns):
    seconds = columns * model.column_seconds
    for duration in (seconds, seconds - 0.1):
        assert model("rain", duration=duration).sidecar["grid"]["columns"] == columns


class Liking:
    """A judge for whom the likeness of two takes is never the same."""

    name = "liking"

    def check(self, text):
        if text == "nothing":
            raise ValueError("cannot tell")

    def __call__(self, text, takes):
        return [float(take.tokens.double() @ torch.arange(len(take.tokens)).double().sin()) for take in takes]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_of_several_takes_one_is_kept_whatever_is_made_beside_it(model, batch_size, monkeypatch):
    """The same as alone with its own seed; the others get no sound."""
    texts, judge = ["rain", "a dog barks"], Liking()
    sound_of, sounds = model.sound_of, []
    monkeypatch.setattr(model, "sound_of", lambda mel: sounds.append(mel) or sound_of(mel))
    clips = list(model.stream(texts, 7, "wind", num=2, best_of=3, judge=judge, batch_size=batch_size))
    assert len(sounds) == 4
    takes = list(model.stream(texts, 7, "wind", num=6))
    for number, clip in enumerate(clips):
        three = takes[3 * number:3 * number + 3]
        scores = judge("", three)
        kept = three[scores.index(max(scores))]
        assert clip.sidecar["chosen"] == {"of": 3, "score": round(max(scores), 4), "by": "liking"}
        assert {key: value for key, value in clip.sidecar.items() if key not in ("chosen", "seconds")} == \
            {key: value for key, value in kept.sidecar.items() if key != "seconds"}
        assert torch.equal(clip.waveform, kept.waveform)
    assert [clip.sidecar["text"] for clip in clips] == ["rain", "rain", "a dog barks", "a dog barks"]


def test_what_no_judge_can_choose_is_refused_before_anything_is_made(model, monkeypatch):
    monkeypatch.setattr(model.decoder, "generate", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(ValueError, match="cannot tell"):
        model(["rain", "nothing"], best_of=2, judge=Liking())
    with pytest.raises(ValueError, match="best_of is 0, expected a number of takes, at least 1"):
        model("rain", best_of=0)


def test_the_shortest_duration_is_a_column(model):
    assert model("rain", duration=1e-300).sidecar["grid"]["columns"] == 1


@pytest.mark.parametrize(("options", "message"), [
    ({"steps": 7}, "steps is 7: sampler num_steps is 7"), ({"steps": 0}, "steps is 0: .*at least 1"),
    ({"steps": "3"}, "steps is '3', expected a whole number"), ({"steps": 2.5}, "steps is 2.5, expected a whole"),
    ({"steps": 3, "sampler": AncestralSampler()}, "steps is 3, but AncestralSampler takes no number of steps"),
    ({"sampler": AutoregressiveSampler()}, "AutoregressiveSampler cannot draw from DiscreteDiffusion"),
    ({"guidance": -1}, "guidance is -1: sampler guidance_scale is -1"), ({"guidance": "2"}, "guidance is '2'"),
    ({"guidance": float("inf")}, "guidance is inf"), ({"guidance": 1, "negative": "wind"}, "does nothing at"),
    ({"duration": 0}, "duration is 0, .* more than 0 and at most 0.74"), ({"duration": 0.75}, "at most 0.74"),
    ({"duration": float("nan")}, "duration is nan"), ({"duration": "1"}, "duration is '1'"),
    ({"num": 0}, "num is 0"), ({"num": 1.5}, "num is 1.5"), ({"seed": -1}, "seed is -1"),
    ({"seed": 0.5}, "seed is 0.5"),
    ({"seed": 2**63}, "expected a whole number from 0"), ({"seed": "3"}, "seed is '3'"),
    ({"seed": [1, 2]}, "1 clips and 2 seeds"), ({"negative": ["wind"] * 2}, "1 texts and 2 negatives"),
    ({"negative": "dog " * 300}, "word pieces, this system reads"),
])
def test_a_wrong_option_is_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        model("rain", **options)


@pytest.mark.parametrize(("sampler", "of"), [(StridedSampler(4), 4), (AncestralSampler(), 6), (ConfidenceSampler(3), 3),
                                             (PuritySampler(2), 2), (FirstHittingSampler(), 20)])
def test_every_step_is_told(model, sampler, of):
    told = []
    model(TEXTS[:2], sampler=sampler, on_step=lambda *step: told.append(step))
    assert told == [(step, of) for step in range(1, of + 1)]


def test_every_step_of_the_baseline_is_told(codec):
    network = GPT(16, 5, 4, layers=1, width=16, heads=2, condition_width=16)
    decoder = Autoregressive(SmallTextEncoder(width=16, layers=1), network).eval()
    decoder.facts = {"codec": codec.fingerprint}
    baseline, told = TextToSound(decoder, codec, GriffinLim(MEL, iterations=1), AutoregressiveSampler(), 2), []
    clip = baseline("rain", on_step=lambda *step: told.append(step))
    assert told == [(step, 10) for step in range(1, 11)]
    seen = []
    baseline.decoder.generate(baseline.decoder.condition(["rain"]), 2, baseline.sampler,
                              [torch.Generator().manual_seed(0)], on_step=lambda number, x: seen.append(x))
    assert all(torch.equal(x[0], clip.tokens[:number]) for number, x in enumerate(seen, 1))
    with pytest.raises(ValueError, match="steps is 3, but AutoregressiveSampler takes no number of steps"):
        baseline("rain", steps=3)
    with pytest.raises(ValueError, match="StridedSampler cannot draw from Autoregressive"):
        baseline("rain", sampler=StridedSampler(3))


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen encoder", "trained encoder"])
def test_threads_may_share_a_model(codec, decoder, frozen):
    """Eight of them, with other texts and two precisions, which share what is kept between calls."""
    encoder = decoder.encoder if not frozen else CLIPTextEncoder(
        {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1}, cache_size=3)
    if frozen:
        encoder.load_state_dict({name: torch.randn_like(value) for name, value in encoder.state_dict().items()})
    own = tiny_decoder(codec, encoder).requires_grad_(False)
    for parameter in own.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model = TextToSound(own, codec, GriffinLim(MEL, iterations=1), StridedSampler(6, guidance_scale=1.5), columns=4)
    work = [(f"{TEXTS[i % 4]} {i % 5}", i, StridedSampler(3, precision=("float32", "int8")[i % 2])) for i in range(48)]
    expected = [model(text, seed, sampler=sampler) for text, seed, sampler in work]
    encoder._cache.clear()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda one: model(one[0], one[1], sampler=one[2]), work))
    finally:
        sys.setswitchinterval(interval)
    for one, other in zip(made, expected, strict=True):
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.waveform, other.waveform)
        assert one.sidecar["text"] == other.sidecar["text"]


def test_a_thread_gets_the_precision_that_it_asked_for(decoder, monkeypatch):
    """Even if another thread asks for the other one while its own is laid out."""
    decoder.requires_grad_(False)
    laid_out = decoder._fast("float32")
    monkeypatch.setattr(type(decoder), "_laid_out", property(lambda self: None, lambda *value: None), raising=False)
    monkeypatch.delitem(decoder.__dict__, "_laid_out")
    other = decoder._fast("int8")  # what it stores is gone at once, as if another had come between
    assert type(other.blocks[0].out) is not type(laid_out.blocks[0].out)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_clip_is_saved_with_its_sidecar(model, tmp_path, suffix):
    clip = model("rain", seed=3)
    clip.save(tmp_path / "new" / f"rain.dog{suffix}")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(["rain.dog.json", f"rain.dog{suffix}"])
    assert json.loads((tmp_path / "new" / "rain.dog.json").read_text()) == clip.sidecar
    samples = load(tmp_path / "new" / f"rain.dog{suffix}", clip.sample_rate)
    if suffix in (".wav", ".flac"):
        torch.testing.assert_close(torch.from_numpy(samples), clip.waveform, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="expected a name that ends in .wav"):
        clip.save(tmp_path / "rain.txt")
    assert not (tmp_path / "rain.json").exists()


def tone(amplitude, seconds=3.0, rate=48000):
    return amplitude * torch.sin(2 * math.pi * 997 * torch.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("amplitude", [1.0, 0.5, 0.01])
def test_loudness_is_that_of_the_standard(amplitude):
    """A sine of 997 Hz of full scale in one channel has -3.01 LUFS (BS.1770-4)."""
    own = -3.01 + 20 * math.log10(amplitude)
    assert loudness_gain(tone(amplitude), 48000, -40) == pytest.approx(-40 - own, abs=0.1)


def test_loudness_leaves_room_for_peaks_and_silence_silent(model, tmp_path):
    clicks = torch.zeros(48000)
    clicks[::4800] = 0.9
    gain = loudness_gain(clicks, 48000, -5)
    assert 0.9 * 10 ** (gain / 20) == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    assert loudness_gain(torch.zeros(48000), 48000, -20) == 0
    with pytest.raises(ValueError, match="a sound of 0.30 s is too short to be measured"):
        loudness_gain(tone(0.1, 0.3), 48000, -20)
    with pytest.raises(ValueError, match="loudness is 5, expected LUFS from -70 to 0"):
        loudness_gain(tone(0.1), 48000, 5)
    clip = model("rain")
    clip.save(tmp_path / "a.wav", loudness=-30)
    told = json.loads((tmp_path / "a.json").read_text())["loudness"]
    assert told["lufs"] == -30
    written = torch.from_numpy(load(tmp_path / "a.wav", 22050))
    torch.testing.assert_close(written, clip.waveform * 10 ** (told["gain_db"] / 20), atol=1e-4, rtol=0)
    assert loudness_gain(written, 22050, -30) == pytest.approx(0, abs=0.05)
    assert clip.sidecar["loudness"] is None


def test_a_notebook_shows_player_picture_and_text(model):
    clip = model("rain <b>&\"")
    shown = clip._repr_html_()
    assert "rain &lt;b&gt;&amp;&quot;" in shown
    sound, picture = (base64.b64decode(re.search(rf'data:{kind};base64,([^"]+)"', shown)[1])
                      for kind in ("audio/wav", "image/png"))
    samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    assert rate == 22050
    torch.testing.assert_close(torch.from_numpy(samples), clip.waveform, atol=1e-4, rtol=0)
    assert picture.startswith(b"\x89PNG")


def test_the_seed_decides_and_the_text_matters(model):
    a, b = model(["rain", "rain"], [1, 2])
    c = model(["a dog"], [1])[0]
    assert not torch.equal(a.tokens, b.tokens)
    assert not torch.equal(a.tokens, c.tokens)


def test_the_sidecar_holds_what_made_the_clip(model):
    sidecar = model(["rain"], [5])[0].sidecar
    assert (sidecar["text"], sidecar["seed"], sidecar["grid"]) == ("rain", 5, {"rows": 5, "columns": 4})
    assert sidecar["sampler"]["init_args"]["guidance_scale"] == 1.5
    assert set(sidecar["parts"]) == {"decoder", "codec", "vocoder"}
    assert len(sidecar["tokens"]) == 20
    assert sidecar["device"] == "cpu"
    assert sidecar["precision"] == "float32"
    assert sidecar["threads"] == torch.get_num_threads()
    assert sidecar["versions"].keys() == {"diffsound", "torch", "python"}
    assert sidecar["seconds"].keys() == {"text", "tokens", "mel", "waveform"}
    assert sidecar["bundle"] is None
    assert json.loads(json.dumps(sidecar)) == sidecar


def test_a_negative_prompt_changes_the_clip_and_is_noted(model):
    (plain,), (other,), (same,) = (model(["rain"], [5], negatives) for negatives in (None, ["wind"], ["wind"]))
    assert not torch.equal(plain.tokens, other.tokens)
    assert torch.equal(other.tokens, same.tokens)
    assert (plain.sidecar["negative"], other.sidecar["negative"]) == (None, "wind")
    both = model(["a bell rings three times", "rain"], [1, 5], ["a long sentence with many words", "wind"])
    assert torch.equal(both[1].tokens, other.tokens)


@pytest.mark.parametrize(("seeds", "negatives", "message"), [([1], None, "2 clips and 1 seeds"),
                                                             ([1, 2], ["wind"], "2 texts and 1 negatives")])
def test_every_text_has_its_seed(model, seeds, negatives, message):
    with pytest.raises(ValueError, match=message):
        model(["rain", "wind"], seeds, negatives)
    with torch.no_grad(), pytest.raises(ValueError, match="1 texts, 2 generators"):
        model.decoder.generate(model.decoder.condition(["rain"]), 2, model.sampler, [torch.Generator()] * 2)


def test_guidance_asks_for_something_to_steer_away_from(codec, decoder):
    unguided = TextToSound(decoder, codec, GriffinLim(MEL, iterations=1), StridedSampler(2), 2)
    with pytest.raises(ValueError, match="does nothing at sampler"):
        unguided(["rain"], [0], ["wind"])
    trained = DiscreteDiffusion(decoder.encoder, decoder.denoiser, decoder.transition, CrossEntropy(),
                                UniformTimesteps(6), text_dropout=0).eval()
    trained.facts = decoder.facts
    guided = TextToSound(trained, codec, GriffinLim(MEL, iterations=1), StridedSampler(2, guidance_scale=2), 2)
    with pytest.raises(ValueError, match="trained with text_dropout 0"):
        guided(["rain"], [0])
    assert guided(["rain"], [0], [""])[0].tokens.shape == (10,)


def test_parts_that_do_not_belong_together_are_refused(codec, decoder):
    other = DiscreteDiffusion(SmallTextEncoder(width=16, layers=1), decoder.denoiser, decoder.transition,
                              CrossEntropy(), UniformTimesteps(6))
    other.facts = {"codec": "0123456789abcdef"}
    with pytest.raises(ValueError, match="trained on tokens of codec 0123456789abcdef"):
        TextToSound(other, codec, GriffinLim(MEL), StridedSampler(6), 4)
    with pytest.raises(ValueError, match=r"mel\.f_max: codec 7600.0, vocoder 8000"):
        TextToSound(decoder, codec, GriffinLim(MelSettings(f_max=8000)), StridedSampler(6), 4)
    with pytest.raises(ValueError, match="num_steps is 7"):
        TextToSound(decoder, codec, GriffinLim(MEL), StridedSampler(7), 4)
    with pytest.raises(ValueError, match="columns is 5"):
        TextToSound(decoder, codec, GriffinLim(MEL), StridedSampler(6), 5)


@pytest.mark.parametrize(("text", "message"), [("", "empty prompt"), ("  ", "empty prompt"),
                                               ("dog " * 300, "word pieces, this system reads")])
def test_prompts_that_cannot_be_read_are_refused(model, text, message):
    with pytest.raises(ValueError, match=message):
        model([text], [0])


def test_parts_of_other_sizes_are_named():
    def build(codes=16, steps=6, width=16):
        network = Denoiser(16, 6, 5, 4, layers=1, width=16, heads=2, condition_width=16)
        return DiscreteDiffusion(SmallTextEncoder(width=width, layers=1), network,
                                 Mask(codes, LinearSchedule(steps)), CrossEntropy(), UniformTimesteps(6))

    for options, message in [({"codes": 32}, "codebook_size 16, the transition 32"),
                             ({"steps": 7}, "num_timesteps 6, the transition 7"),
                             ({"width": 32}, "condition_width 16, the text encoder 32")]:
        with pytest.raises(ValueError, match=message):
            build(**options)


@pytest.mark.parametrize(("text", "name"), [("A dog barks!", "007-a-dog-barks"), ("../../etc", "007-etc"),
                                            ("狗叫", "007"), ("x" * 90, "007-" + "x" * 48)])
def test_file_names_are_safe(text, name):
    assert clip_name(7, text) == name
