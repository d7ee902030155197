"""A whole listening test in a real browser, from clips to a table; and the statistics on answers that are known."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
import soundfile
from browser import browser, opened  # noqa: F401

from diffsound.cli import main
from diffsound.data.audio import save
from diffsound.listening_test.loudness import Loudness, common_level, leveled
from diffsound.listening_test.make import QUESTIONS, make
from diffsound.listening_test.read import estimate, read, table
from diffsound.scenes import Request, Structure, render

TEXTS = {"a dog barks": "dog", "a drum is hit": "drum", "</script><b>a coin & a \"bell\"": "coin"}
SYSTEMS = ("oursystem", "baselinesystem")
GRADE = {"oursystem": 5, "baselinesystem": 2}


def write_clips(folder, seed: int, texts=TEXTS, suffix: str = ".wav") -> None:
    for number, (text, name) in enumerate(texts.items()):
        scene = render(Structure((Request(name),)), np.random.default_rng((seed, number)))
        start = round(scene.events[0].onset * scene.sample_rate)
        save(folder / f"{number:03d}{suffix}", scene.waveform[start:start + 5512], scene.sample_rate)
        (folder / f"{number:03d}.json").write_text(json.dumps({"text": text}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A test of two systems with three clips each, of a quarter of a second."""
    folder = tmp_path_factory.mktemp("listening")
    for seed, system in enumerate(SYSTEMS):
        write_clips(folder / system, seed, suffix=(".wav", ".flac")[seed])
    status = main(["listening-test", "make", "--clips", *(str(folder / system) for system in SYSTEMS),
                   "--out", str(folder / "test"), "--clips-per-listener", "2", "--seed", "5"])
    assert status == 0
    return folder / "test"


def key_of(made) -> dict:
    return json.loads((made / "key.json").read_text())


def on_page(page) -> dict:
    return page.evaluate("items[state.at]")


def hear(page) -> None:
    """Play all that there is to hear, to its end."""
    for number, button in enumerate(page.locator("#players button").all()):
        button.click()
        page.wait_for_function("number => shown.heard[number]", arg=number)
    page.locator("#answers:enabled").wait_for()


def test_from_the_page_to_the_table(made, browser, tmp_path, capsys):  # noqa: F811
    system = {clip: entry["system"] for clip, entry in key_of(made)["clips"].items()}
    with opened(browser, made, "index.html?listener=3") as page:
        page.get_by_role("button", name="Start").click()
        asked = []
        for number in range(6):
            assert page.locator("#count").inner_text() == f"Question {number + 1} of 6"
            item = on_page(page)
            asked.append(item)
            text = page.locator("#text")
            assert text.is_visible() == (item["question"] != "mos")  # quality is judged without the text
            if item["question"] != "mos":
                assert text.inner_text() == key_of(made)["clips"][item["clips"][0]]["text"]
            assert page.locator("#next").is_disabled()
            page.keyboard.press("5")
            assert page.locator("#answers input:checked").count() == 0  # nothing is answered before it was heard
            hear(page)
            assert page.locator("#next").is_disabled()
            if item["question"] == "pairwise":
                side = [system[clip] for clip in item["clips"]].index("oursystem")
                page.get_by_role("radio", name="AB"[side], exact=True).check()
            else:
                grade = GRADE[system[item["clips"][0]]]
                page.get_by_role("radio", name=re.compile(f"^{grade} – [a-z ]+$")).check()
            page.get_by_role("button", name=re.compile("Next|Finish")).click()
            if number == 2:  # the tab is closed in the middle of the test
                address, room = page.url, page.context
                page.close()
                page = room.new_page()
                page.goto(address)
        assert Counter(item["question"] for item in asked) == {"mos": 2, "relevance": 2, "pairwise": 2}
        with page.expect_download() as download:
            page.get_by_role("button", name="Download answers").click()
        result = tmp_path / download.value.suggested_filename
        download.value.save_as(result)
    content = json.loads(result.read_text())
    assert (content["listener"], content["seed"], content["test"]) == ("3", 3, key_of(made)["test"])
    assert [answer["clips"] for answer in content["answers"]] == [item["clips"] for item in asked]
    assert all(play == 1 for answer in content["answers"] for play in answer["plays"])

    out = tmp_path / "summary.json"
    assert main(["listening-test", "read", "--key", str(made / "key.json"), "--out", str(out), str(result)]) == 0
    summary = json.loads(out.read_text())
    for question in ("mos", "relevance"):
        assert {name: one["value"] for name, one in summary[question].items()} == GRADE
        assert sum(one["ratings"] for one in summary[question].values()) == 2
    assert [(one["a"], one["b"], one["value"], one["losses"]) for one in summary["pairwise"]] == \
        [("baselinesystem", "oursystem", 0.0, 2)]
    printed = capsys.readouterr().out
    assert "oursystem" in printed
    assert "5.00" in printed


def test_by_keyboard_alone(made, browser, tmp_path):  # noqa: F811
    make({system: made.parent / system for system in SYSTEMS}, tmp_path, QUESTIONS, 1, 0)
    with opened(browser, tmp_path) as page:
        page.keyboard.press("Tab")  # to the number, which stays empty
        page.keyboard.press("Enter")
        for number in range(3):
            question = on_page(page)["question"]
            for key in ("a", "b") if question == "pairwise" else (" ",):
                page.keyboard.press("Enter")  # too early
                assert page.locator("#count").inner_text() == f"Question {number + 1} of 3"
                page.keyboard.press(key)
                page.wait_for_function("() => shown.players.some(audio => audio.ended)"
                                       if key != "b" else "() => shown.players[1].ended")
            page.locator("#answers:enabled").wait_for()
            page.keyboard.press("3" if question == "pairwise" else "4")
            page.keyboard.press("Enter")
        assert page.get_by_role("heading", name="Thank you").is_visible()
        assert page.evaluate("Object.values(state.answers).map(one => one.answer)") == [4, 4, "equal"]
        assert re.fullmatch(r"random-\d+", page.evaluate("state.listener"))


def test_every_control_has_a_name_and_an_answer_can_be_changed(made, browser):  # noqa: F811
    with opened(browser, made, viewport={"width": 360, "height": 740}) as page:
        assert page.get_by_label(re.compile("Listener number")).is_visible()
        page.get_by_role("button", name="Start").click()
        assert page.get_by_role("group", name="Overall quality").get_by_role("radio").count() == 5
        assert page.get_by_role("progressbar", name=re.compile("how much was played")).count() == 1
        hear(page)
        page.get_by_role("radio", name="3 – fair", exact=True).check()
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Back").click()
        assert page.get_by_role("radio", name="3 – fair", exact=True).is_checked()
        page.get_by_role("radio", name="1 – bad", exact=True).check()
        page.get_by_role("button", name="Next").click()
        assert page.evaluate("state.answers[0].answer") == 1
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_who_is_asked_what(made, browser):  # noqa: F811
    system = {clip: entry["system"] for clip, entry in key_of(made)["clips"].items()}
    with opened(browser, made) as page:
        sheets = page.evaluate("Array.from({length: 60}, (_, i) => questionsOf(i + 1))")
        assert page.evaluate("questionsOf(7)") == sheets[6]
    for sheet in sheets:
        for question in ("mos", "relevance"):
            judged = [item["clips"][0] for item in sheet if item["question"] == question]
            assert Counter(system[clip] for clip in judged) == dict.fromkeys(SYSTEMS, 1)  # as many of each
        assert [item["question"] for item in sheet] == sorted([i["question"] for i in sheet], key=QUESTIONS.index)
    counts = Counter(item["clips"][0] for sheet in sheets for item in sheet if item["question"] == "mos")
    assert set(counts.values()) == {60 * 2 // 6}  # all clips equally often
    assert len({json.dumps(sheet) for sheet in sheets}) > 30  # of 96 there are
    sides = [system[item["clips"][0]] for sheet in sheets for item in sheet if item["question"] == "pairwise"]
    assert 0.4 < sides.count("oursystem") / len(sides) < 0.6


def test_blind(made):
    page = (made / "index.html").read_text()
    key = key_of(made)
    for told in (*SYSTEMS, "key.json", "000.wav", ".flac", str(made.parent)):
        assert told not in page
    assert {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()} == \
        {"index.html", "key.json", *(f"clips/{clip}.wav" for clip in key["clips"])}
    data = json.loads(re.search(r'<script type="application/json" id="test">(.*?)</script>', page, re.DOTALL)[1])
    assert sorted(data["clips"]) == sorted(key["clips"])
    assert sorted(data["texts"].values()) == sorted([*TEXTS] * 2)
    for a, b in data["pairs"]:
        assert key["clips"][a]["text"] == key["clips"][b]["text"]
        assert key["clips"][a]["system"] != key["clips"][b]["system"]
    assert data["level"] == key["level"] <= -23
    for clip, entry in key["clips"].items():  # what is heard is the system's own clip, at the level of all
        ours, own = soundfile.read(made / "clips" / f"{clip}.wav"), soundfile.read(entry["file"])
        assert ours[1] == own[1]
        assert np.abs(ours[0] - own[0] * (ours[0] @ own[0]) / (own[0] @ own[0])).max() < 1e-4
        assert Loudness.of(*ours).level == pytest.approx(key["level"], abs=0.05)
        assert soundfile.info(made / "clips" / f"{clip}.wav").extra_info.count("LIST") == 0


def test_levels_can_be_kept(made, tmp_path):
    assert main(["listening-test", "make", "--clips", *(str(made.parent / system) for system in SYSTEMS), "--out",
                 str(tmp_path), "--keep-levels"]) == 0
    key = key_of(tmp_path)
    assert key["level"] is None
    for clip, entry in key["clips"].items():
        ours, own = soundfile.read(tmp_path / "clips" / f"{clip}.wav")[0], soundfile.read(entry["file"])[0]
        assert np.abs(ours - own).max() < 1e-4


def test_loudness_is_of_what_sounds_and_follows_the_gain():
    tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    whole, quiet = Loudness.of(tone, 22050), Loudness.of(0.1 * tone, 22050)
    assert whole.level == pytest.approx(-3.01, abs=0.01)
    assert (quiet.level, quiet.peak) == (pytest.approx(whole.level - 20), pytest.approx(whole.peak - 20))
    with_pause = np.concatenate([tone[:882 * 5], np.zeros(40000, np.float32)])
    assert Loudness.of(with_pause, 22050).level == pytest.approx(whole.level, abs=0.01)


def test_one_level_for_all_and_no_peak_beyond_full_scale():
    rng = np.random.default_rng(0)
    click = np.zeros(22050, np.float32)
    click[4000] = 0.5
    clips = [0.9 * np.sin(np.arange(22050) / 9).astype(np.float32), 0.02 * rng.normal(size=22050).astype(np.float32)]
    levels = []
    for some in (clips, [*clips, click]):
        loudness = [Loudness.of(clip, 22050) for clip in some]
        level = common_level(loudness)
        brought = [leveled(*pair, level) for pair in zip(some, loudness, strict=True)]
        assert [Loudness.of(clip, 22050).level for clip in brought] == [pytest.approx(level, abs=0.01)] * len(some)
        assert max(np.abs(clip).max() for clip in brought) <= 10 ** (-1 / 20) + 1e-6
        levels.append(level)
    assert levels[0] == -23
    assert levels[1] < -23  # for the sake of the click
    silence = np.zeros(22050, np.float32)
    assert common_level([Loudness.of(silence, 22050)]) == -23
    assert not leveled(silence, Loudness.of(silence, 22050), -23).any()


def test_another_seed_gives_other_names_and_the_same_one_the_same(made, tmp_path):
    folders = {system: made.parent / system for system in SYSTEMS}
    for seed in (5, 6):
        make(folders, tmp_path / str(seed), QUESTIONS, 2, seed)
    assert (tmp_path / "5" / "index.html").read_bytes() == (made / "index.html").read_bytes()
    assert not key_of(tmp_path / "6")["clips"].keys() & key_of(made)["clips"].keys()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--questions", "mos,taste"], "--questions taste: expected some of mos, relevance, pairwise"),
    (["--questions", "mos,mos"], "expected each of mos, relevance, pairwise once at most"),
    (["--clips-per-listener", "0"], "--clips-per-listener is 0, expected 1 or more"),
    (["--clips", "{ours}", "--questions", "pairwise"], "give --clips two folders"),
    (["--clips", "{ours}", "{ours}"], "are both called oursystem: give one as NAME="),
    (["--clips", "{ours}", "{empty}"], "empty: expected a folder with sounds"),
    (["--clips", "{ours}", "{untold}"], "000.wav has no text: expected 000.json beside it"),
    (["--clips", "{ours}", "{other}", "--questions", "pairwise"], "oursystem, other have no text in common"),
    (["--out", "{made}"], "holds a test already: give --out another folder"),
])
def test_what_cannot_be_made_is_named(made, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    write_clips(tmp_path / "other", 3, {"rain": "rain"})
    save(tmp_path / "untold" / "000.wav", np.zeros(800), 8000)
    places = {"ours": made.parent / "oursystem", "made": made,
              **{name: tmp_path / name for name in ("empty", "other", "untold")}}
    defaults = {"--clips": [str(made.parent / system) for system in SYSTEMS], "--out": [str(tmp_path / "out")]}
    for flag, values in defaults.items():
        if flag not in arguments:
            arguments = [*arguments, flag, *values]
    assert main(["listening-test", "make", *(argument.format(**places) for argument in arguments)]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "index.html").exists()


def test_quality_alone_needs_no_texts(tmp_path):
    save(tmp_path / "untold" / "000.wav", np.zeros(8000), 8000)
    make({"untold": tmp_path / "untold"}, tmp_path / "out", ["mos"], 20, 0)
    assert (tmp_path / "out" / "index.html").is_file()


# --- results -----------------------------------------------------------------------------------------------------


def clips_of(key: dict, system: str) -> list[str]:
    return sorted((clip for clip, entry in key["clips"].items() if entry["system"] == system),
                  key=lambda clip: key["clips"][clip]["text"])


@pytest.fixture
def send(made, tmp_path):
    """`send(listener, answers, **other)` -> the path of a result with (question, clips, answer) triples."""
    def write(listener: str, answers: list, name: str | None = None, /, **other):
        path = tmp_path / f"{name or listener}.json"
        answers = [dict(zip(("question", "clips", "answer"), answer, strict=True)) for answer in answers]
        path.write_text(json.dumps({"format": 1, "test": key_of(made)["test"], "listener": listener,
                                    "answers": answers} | other))
        return path

    return write


def test_means_and_win_rates_of_known_answers(made, send):
    key = key_of(made)
    ours, theirs = clips_of(key, "oursystem"), clips_of(key, "baselinesystem")
    one = send("1", [*(("mos", [clip], grade) for clip, grade in zip(ours, (5, 4, 3), strict=True)),
                     ("pairwise", [ours[0], theirs[0]], "left"), ("pairwise", [theirs[1], ours[1]], "right")])
    two = send("2", [("mos", [ours[0]], 2), ("mos", [theirs[0]], 1), ("pairwise", [theirs[0], ours[0]], "left"),
                     ("pairwise", [ours[2], theirs[2]], "equal")])
    summary = read(made / "key.json", [one, two])
    assert (summary["listeners"], summary["answers"]) == (2, 9)
    mos = summary["mos"]["oursystem"]
    assert (mos["value"], mos["ratings"], mos["listeners"], mos["resampled"]) == (3.5, 4, 2, "listeners")
    assert (mos["low"], mos["high"]) == (2, 4)  # twice the one listener, or twice the other
    assert summary["mos"]["baselinesystem"]["value"] == 1
    assert "oursystem" not in summary["relevance"]  # nobody was asked
    (duel,) = summary["pairwise"]
    assert (duel["a"], duel["b"]) == ("baselinesystem", "oursystem")
    assert (duel["wins"], duel["equal"], duel["losses"]) == (1, 1, 2)
    assert duel["value"] == 1.5 / 4
    assert summary["left"] == pytest.approx(2 / 3)
    text = table(summary)
    assert "baselinesystem over oursystem (1 won, 1 equal, 2 lost)" in text
    assert "3.50" in text
    assert "single listener" in text  # baselinesystem was graded by one


def test_an_interval_of_ratings_is_that_of_a_mean():
    values = np.random.default_rng(0).integers(1, 6, size=400)
    result = estimate([("1", float(value)) for value in values])
    error = 1.96 * values.std() / 20
    assert result["value"] == pytest.approx(values.mean())
    assert (result["low"], result["high"]) == (pytest.approx(values.mean() - error, abs=0.02),
                                               pytest.approx(values.mean() + error, abs=0.02))
    assert result["resampled"] == "ratings"


def test_listeners_who_disagree_widen_the_interval():
    agree = estimate([(str(i % 10), 1.0 + 4 * (i // 10 % 2)) for i in range(100)])  # each says 1 and 5
    differ = estimate([(str(i % 10), 1.0 + 4 * (i % 2)) for i in range(100)])  # each says the same ten times
    assert agree["value"] == differ["value"] == 3
    assert agree["high"] - agree["low"] < 0.01
    assert differ["high"] - differ["low"] == pytest.approx(2 * 1.96 * 2 / 10 ** 0.5, abs=0.4)


@pytest.mark.parametrize(("change", "message"), [
    ({"test": "0"}, "belongs to test 0, the key to"),
    ({"format": 2}, "has format 2, expected 1"),
    ({"listener": 7}, "listener is 7, expected text"),
    ({"answers": [{"question": "mos", "clips": ["{ours}"], "answer": 6}]}, "answers[0].answer is 6, expected one of 1"),
    ({"answers": [{"question": "mos", "clips": ["{ours}"], "answer": 2.5}]}, "answer is 2.5, expected one of 1, 2"),
    ({"answers": [{"question": "mos", "clips": ["{ours}"], "answer": True}]}, "answer is true, expected a number"),
    ({"answers": [{"question": "mos", "clips": ["{ours}"], "answer": "left"}]}, "answer is 'left', expected one of 1"),
    ({"answers": [{"question": "pairwise", "clips": ["{ours}", "{theirs}"], "answer": 1}]}, "expected one of left"),
    ({"answers": [{"question": "taste", "clips": ["{ours}"], "answer": 1}]}, "question is 'taste', expected one of"),
    ({"answers": [{"question": "mos", "clips": ["abc"], "answer": 1}]}, "clips is abc: not mos clips of this test"),
    ({"answers": [{"question": "mos", "clips": ["{ours}", "{theirs}"], "answer": 1}]}, "not mos clips of this test"),
    ({"answers": [{"question": "pairwise", "clips": ["{ours}", "{ours}"], "answer": "left"}]}, "not of two systems"),
    ({"answers": [{"question": "pairwise", "clips": ["{ours}", "{other}"], "answer": "left"}]}, "and one text"),
    ({"answers": [{"question": "mos", "clips": ["{ours}"], "answer": 1}] * 2}, "a second time"),
    ({"answers": [{"question": "mos", "clips": ["{ours}"]}]}, "answers[0]: the key 'answer' is missing"),
])
def test_a_result_that_cannot_be_is_refused(made, send, capsys, change, message):
    key = key_of(made)
    theirs = clips_of(key, "baselinesystem")
    names = {"{ours}": clips_of(key, "oursystem")[0], "{theirs}": theirs[0], "{other}": theirs[1]}
    text = json.dumps(change)
    for name, clip in names.items():
        text = text.replace(name, clip)
    path = send("1", [], **json.loads(text))
    assert main(["listening-test", "read", "--key", str(made / "key.json"), str(path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(path) in error
    assert not (made / "summary.json").exists()


def test_one_listener_counts_once(made, send):
    clip = clips_of(key_of(made), "oursystem")[0]
    paths = [send("4", [("mos", [clip], 3)], name) for name in ("first", "second")]
    with pytest.raises(ValueError, match=r"second\.json and .*first\.json are both of listener 4: keep one"):
        read(made / "key.json", paths)


@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_a_file_that_is_none(made, tmp_path, content):
    path = tmp_path / "result.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=r"result\.json"):
        read(made / "key.json", [path])
