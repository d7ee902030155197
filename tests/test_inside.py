"""Looking into the sampler: what is recorded is true, and looking changes nothing."""

import math
import re
from html import unescape

import pytest
import soundfile
import torch
from browser import browser, opened  # noqa: F401
from PIL import Image
from tiny_system import tiny_codec, tiny_decoder

from diffsound.attention import Attention
from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.diffusion import (
    AncestralSampler,
    ConfidenceSampler,
    FirstHittingSampler,
    PuritySampler,
    RemaskingSampler,
    StridedSampler,
)
from diffsound.inside import (
    attention_maps,
    command,
    film,
    look,
    save_attention,
    save_confidence,
    save_decided,
    word_attention,
)
from diffsound.inside.page import write_page
from diffsound.inside.pictures import evenly
from diffsound.inside.words import words_of
from diffsound.mel import MelSettings
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import GriffinLim

MEL = MelSettings()
TEXT = "a zebra-like dog barks, then RAIN"
KINDS = [("cross", "token"), ("prefix", "token"), ("cross", "column"), ("prefix", "column"), ("cross", "original")]
SAMPLERS = [AncestralSampler(),
            StridedSampler(3, guidance_scale=2.0, guidance_trend="linear", top_r=0.7, temperature=0.8),
            ConfidenceSampler(3, top_k=4), PuritySampler(3), RemaskingSampler(5, cap=0.5), FirstHittingSampler(),
            StridedSampler(4, precision="bfloat16")]


def system(text="cross", positions="token", sampler=None, std=0.3):
    codec = tiny_codec(MEL)
    decoder = tiny_decoder(codec, layers=2, text=text, positions=positions)
    for parameter in decoder.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return TextToSound(decoder, codec, GriffinLim(MEL, iterations=2), sampler or SAMPLERS[1], columns=4)


@pytest.fixture(params=SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def model(request):
    return system(sampler=request.param)


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request):
    return system(*request.param)


@pytest.fixture(scope="module")
def seen():
    """(model, its trace of one clip)"""
    model = system()
    return model, look(model, TEXT, 3)


def test_looking_changes_nothing(model):
    before = model([TEXT], [3])[0]
    trace = look(model, TEXT, 3)
    after = model([TEXT], [3])[0]
    for clip in (before, after):
        assert torch.equal(clip.tokens, trace.tokens)
        assert torch.equal(clip.mel, trace.mel)


@pytest.mark.parametrize("negative", ["wind", ""])
def test_a_negative_prompt_is_followed(negative):
    model = system()
    trace = look(model, TEXT, 3, negative=negative)
    assert torch.equal(trace.tokens, model([TEXT], [3], [negative])[0].tokens)
    assert not torch.equal(trace.full_entropy, look(model, TEXT, 3).full_entropy)


def test_probabilities_and_entropies_are_in_range(model):
    trace = look(model, TEXT, 3)
    for confidence in (trace.confidence, trace.full_confidence):
        assert confidence.min() >= 0
        assert confidence.max() <= 1 + 1e-6
    for entropy in (trace.entropy, trace.full_entropy):
        assert entropy.min() >= -1e-6
        assert entropy.max() <= math.log(16) + 1e-6
    assert (trace.entropy <= trace.full_entropy + 1e-6).all()  # what is cut off made it wider
    assert trace.x_t.shape == trace.likeliest.shape == trace.confidence.shape == (len(trace.t), 20)


def test_what_is_recorded_is_what_the_denoiser_says(seen):
    """By the ordinary denoiser, guidance written out."""
    model, trace = seen
    condition = model.decoder.condition([TEXT])
    null = model.decoder.null.like(condition)
    for call, t in enumerate(trace.t.tolist()):
        with torch.no_grad():
            given, without = (model.decoder(trace.x_t[call:call + 1], torch.tensor([t]), each)[0]
                              for each in (condition, null))
        scale = 1 + (2.0 - 1) * (1 - t / 6)
        p = ((without + scale * (given - without)) / 0.8).softmax(-1)
        chosen = p[torch.arange(20), trace.tokens]
        torch.testing.assert_close(trace.full_confidence[call], chosen, atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(trace.full_entropy[call], torch.distributions.Categorical(p).entropy(), atol=1e-4,
                                   rtol=1e-3)
        assert torch.equal(trace.likeliest[call], p.argmax(-1))


def test_at_the_last_step_confidence_is_what_the_sampler_drew_from(model, monkeypatch):
    drawn, own = [], model.sampler.probabilities
    monkeypatch.setattr(model.sampler, "probabilities", lambda logits: drawn.append(own(logits)) or drawn[-1])
    trace = look(model, TEXT, 3)
    last = drawn[len(trace.t) - 1][0]
    torch.testing.assert_close(trace.confidence[-1], last[torch.arange(20), trace.tokens])
    assert (trace.confidence[-1][trace.masked[-1]] > 0).all()  # drawn there, so never truncated


def test_a_token_stays_from_the_call_that_decided_it(model):
    trace = look(model, TEXT, 3)
    states = torch.cat([trace.x_t, trace.tokens[None]])
    for place, call in enumerate(trace.decided.tolist()):
        assert (states[call:, place] == trace.tokens[place]).all()
        if call:
            assert states[call - 1, place] != trace.tokens[place]
            assert trace.confidence[call - 1, place] > 0
    assert trace.decided.max() > 0


def test_the_grid_is_time_major():
    trace = look(system(), TEXT, 3)
    grid = trace.grid(torch.arange(20))
    assert grid.shape == (5, 4)
    assert grid[0].tolist() == [0, 5, 10, 15]  # the lowest band of every column


def test_an_autoregressive_decoder_is_refused():
    codec = tiny_codec(MEL)
    decoder = Autoregressive(SmallTextEncoder(width=16, layers=1), GPT(16, 5, 4, 1, 32, 2, condition_width=16)).eval()
    decoder.facts = {"codec": codec.fingerprint}
    model = TextToSound(decoder, codec, GriffinLim(MEL, iterations=2), AutoregressiveSampler(), columns=4)
    with pytest.raises(ValueError, match="Autoregressive.*text_to_sound.init_args.decoder"):
        look(model, TEXT, 3)


@pytest.mark.parametrize(("text", "negative", "message"), [
    ("  ", None, "empty prompt"), ("rain " * 60, None, "word pieces"), ("rain", "wind " * 60, "word pieces")])
def test_a_text_that_says_nothing_or_too_much_is_refused(text, negative, message):
    with pytest.raises(ValueError, match=message):
        look(system(), text, 3, negative)


# Words


class CutEncoder:
    """Ids of CLIP's kind: a start, pieces of at most three letters, an end, padding up to 20."""

    def tokenize(self, text):
        pieces = [hash(part) % 1000 + 3 for word in text.split() for part in re.findall(r"\w{1,3}|[^\w\s]", word)]
        return [1, *pieces, 2] + [0] * (18 - len(pieces))


def test_words_have_all_their_pieces():
    assert [(word.text, list(word.places)) for word in words_of(CutEncoder(), " barking  dog, ", 20)] == [
        ("(start)", [0]), ("barking", [1, 2, 3]), ("dog,", [4, 5]), ("(end)", [6]), ("(padding)", [*range(7, 20)])]


def test_words_of_the_small_encoder_cover_its_ids_in_order():
    encoder = SmallTextEncoder(width=16, layers=1)
    ids = encoder.tokenize(TEXT)
    words = words_of(encoder, TEXT, len(ids))
    assert [word.text for word in words] == ["a", "zebra-like", "dog", "barks,", "then", "RAIN", "(end)"]
    assert [place for word in words for place in word.places] == [*range(len(ids))]
    for word in words[:-1]:
        assert [ids[place] for place in word.places] == encoder.tokenize(word.text)[:-1]


def test_a_text_that_is_one_vector_is_one_word():
    assert [word.text for word in words_of(CutEncoder(), "a dog", 1)] == ["a dog"]


# Attention


@pytest.mark.parametrize("masked", [False, True])
def test_weights_times_values_are_the_layers_output(masked):
    layer = Attention(8, 2, context_width=6)
    x, context = torch.randn(3, 5, 8), torch.randn(3, 4, 6)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]]).bool()[:, None, None] if masked else None
    weights = layer.weights(x, context, mask)
    values = layer.value(context).unflatten(-1, (2, 4)).transpose(1, 2)
    output = layer.out((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(output, layer(x, context, mask))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5))
    itself = layer.weights(x, x[..., :6])
    assert itself.shape == (3, 2, 5, 5)


def maps_of(model, texts, x_t, t):
    return attention_maps(model.decoder.denoiser, x_t, t, model.decoder.condition(texts))


def test_attention_of_a_forward_pass(kind):
    denoiser, x_t, t = kind.decoder.denoiser, torch.randint(17, (2, 20)), torch.tensor([6, 2])
    maps = maps_of(kind, ["rain", TEXT], x_t, t)
    length = len(kind.decoder.encoder.tokenize(TEXT))
    assert maps.shape == (2, 2, 2, 4 if denoiser.positions == "column" else 20, length)
    assert (maps >= 0).all()
    assert (maps[0, ..., 2:] == 0).all()  # "rain" and its end, then padding
    total = maps.sum(-1)
    if denoiser.text == "cross":
        torch.testing.assert_close(total, torch.ones_like(total))
    else:
        assert (total < 1).all()  # the rest goes to tokens
        assert total.max() > 0


def test_attention_of_a_clip_does_not_depend_on_its_neighbours(kind):
    x_t, t = torch.randint(17, (2, 20)), torch.tensor([6, 2])
    together, alone = maps_of(kind, ["rain", TEXT], x_t, t), maps_of(kind, ["rain"], x_t[:1], t[:1])
    torch.testing.assert_close(together[:1, ..., :2], alone)


def test_no_hook_stays_behind(kind):
    denoiser = kind.decoder.denoiser
    maps_of(kind, ["rain"], torch.zeros(1, 20, dtype=torch.long), torch.tensor([1]))
    with pytest.raises(ValueError, match="columns"):
        maps_of(kind, ["rain"], torch.zeros(1, 19, dtype=torch.long), torch.tensor([1]))
    assert not any(module._forward_pre_hooks for module in denoiser.modules())


def test_word_attention_is_on_the_grid_and_sums_pieces(kind):
    trace = look(kind, TEXT, 3)
    found = word_attention(kind, trace, calls=[0, 2])
    by_column = kind.decoder.denoiser.positions == "column"
    assert found.weights.shape == (2, 2, 7, *((4,) if by_column else (5, 4)))
    assert found.mean.shape == found.weights.shape[2:]
    assert found.t.tolist() == trace.t[[0, 2]].tolist()
    maps = maps_of(kind, [TEXT], trace.x_t[2:3], trace.t[2:3])[0].mean(1)  # (blocks, N, S)
    zebra = list(trace.words[1].places)
    assert len(zebra) > 1
    expected = maps[:, 2 if by_column else 11, zebra].sum(-1)  # column 2; or its second row
    torch.testing.assert_close(found.weights[1, :, 1, ..., 2] if by_column else found.weights[1, :, 1, 1, 2], expected)
    if kind.decoder.denoiser.text == "cross":
        torch.testing.assert_close(found.weights.sum(2), torch.ones_like(found.weights.sum(2)))


# Film, pictures, page


def test_the_film_has_as_many_frames_as_asked(seen, tmp_path):
    model, trace = seen
    made = film(model, trace, tmp_path, frames=4, sounds=3)
    with Image.open(made.path) as image:
        assert image.n_frames == 4
    assert sorted((tmp_path / "frames").iterdir()) == made.frames
    assert [path.name for path in made.frames] == ["00.png", "01.png", "02.png", "03.png"]
    assert sorted((tmp_path / "sounds").iterdir()) == list(made.sounds.values())
    assert list(made.sounds) == [0, 2, 3]
    assert made.captions == ["t = 6, 100% masked", *made.captions[1:3], "the clip"]
    fewer = film(model, trace, tmp_path, frames=2, sounds=0)
    assert len(list((tmp_path / "frames").iterdir())) == len(fewer.frames) == 2
    assert list((tmp_path / "sounds").iterdir()) == []


def test_the_last_sound_is_the_clip(seen, tmp_path):
    model, trace = seen
    made = film(model, trace, tmp_path, frames=4, sounds=1)
    heard = torch.from_numpy(soundfile.read(made.sounds[3], dtype="float32")[0])
    torch.testing.assert_close(heard, model([TEXT], [3])[0].waveform.clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("frames", "sounds", "message"), [(0, 0, "frames is 0"), (5, 0, "frames is 5.*1 to 4"),
                                                           (3, 4, "sounds is 4"), (3, -1, "sounds is -1")])
def test_a_film_of_an_impossible_length_is_refused(seen, tmp_path, frames, sounds, message):
    with pytest.raises(ValueError, match=message):
        film(*seen, tmp_path, frames, sounds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("length", "count", "expected"), [(10, 4, [0, 3, 6, 9]), (3, 8, [0, 1, 2]), (5, 1, [4]),
                                                           (1, 3, [0]), (13, 12, None)])
def test_evenly_spread_places_are_different_and_reach_both_ends(length, count, expected):
    places = evenly(length, count)
    assert len(set(places)) == min(length, count)
    assert places[-1] == length - 1
    assert expected in (None, places)


def write_all(model, text, folder):
    trace = look(model, text, 3)
    made = film(model, trace, folder, frames=3, sounds=2)
    save_confidence(folder / "confidence.png", trace)
    save_decided(folder / "decided.png", trace)
    save_attention(folder / "attention.png", trace, word_attention(model, trace))
    return write_page(folder, trace, made, model.sampler.spec)


@pytest.mark.parametrize("positions", ["token", "column"])
def test_everything_a_page_links_to_is_there(positions, tmp_path):
    text = 'rain <script>alert("$\\nosuch$ & $y")</script>'
    page = write_all(system(positions=positions), text, tmp_path).read_text()
    links = {unescape(link) for link in re.findall(r'(?:src|href)="([^"]*)"', page)}
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert links - {"data:,"} == written - {"index.html"}  # no link leaves the folder, and nothing is left unseen
    assert {"confidence.png", "decided.png", "attention.png", "film.gif", "frames/02.png", "sounds/02.wav"} <= links
    assert "<script" not in page


def test_the_command_writes_it_all(seen, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "build_part", lambda recipe, name: seen[0])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: tiny")
    arguments = ["--recipe", str(recipe), "--text", TEXT, "--seed", "3", "--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="frames is 12, expected 1 to 4"):  # 3 steps
        command.main(arguments)
    command.main([*arguments, "--frames", "2", "--sounds", "1", "--runs", "elsewhere"])
    page = tmp_path / "out" / "index.html"
    assert str(page) in capsys.readouterr().out
    assert "Seed 3. 3 steps of StridedSampler" in page.read_text()
    for name in ("confidence.png", "decided.png", "attention.png", "film.gif", "frames/01.png", "sounds/01.wav"):
        assert (tmp_path / "out" / name).is_file()


def test_the_page_in_a_browser_on_a_phone(seen, browser, tmp_path):  # noqa: F811
    write_all(seen[0], TEXT, tmp_path)
    with opened(browser, tmp_path, viewport={"width": 360, "height": 700}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for picture in page.locator("img").all():
            picture.scroll_into_view_if_needed()
            assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
            assert picture.get_attribute("alt")
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.tagName"))
        assert {"SUMMARY", "A", "AUDIO"} <= reached
        page.locator("summary").focus()
        page.keyboard.press("Enter")
        assert not page.evaluate("document.querySelector('details').open")  # the film can be stopped
