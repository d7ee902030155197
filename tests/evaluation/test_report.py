"""The report in a real browser, on an evaluation of real scenes; and what it says of files that are not as they should
be."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from browser import browser, opened  # noqa: F401
from evaluated import LABELS, write_evaluation
from PIL import Image

from diffsound.evaluation.charts import nice_ticks, number
from diffsound.evaluation.report import write_report
from diffsound.evaluation.timeline_picture import save_timelines
from diffsound.mel import MelSettings

HOSTILE = "<script>document.title='taken'</script>\"'><img src=x onerror=alert(1)>&amp;"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """(folder, what scores.json holds)"""
    folder = tmp_path_factory.mktemp("evaluation")
    return folder, write_evaluation(folder, clips=12)


@pytest.fixture
def copy(evaluation, tmp_path):
    """(a folder to change, `write(change)`: scores.json changed by a function)"""
    folder = tmp_path / "copy"
    shutil.copytree(evaluation[0], folder)

    def write(change) -> None:
        scores = json.loads((folder / "scores.json").read_text())
        change(scores)
        (folder / "scores.json").write_text(json.dumps(scores))

    return folder, write


def test_in_a_browser(evaluation, browser):  # noqa: F811
    folder, scores = evaluation
    assert write_report(folder) == folder / "report" / "index.html"
    with opened(browser, folder / "report", viewport={"width": 1280, "height": 900}) as page:
        headings = page.locator("h2").all_inner_texts()
        assert headings == ["What is heard in the scenes", "By kind of request", "The worst clips", "The best clips",
                            "Heard instead", "Sweeps", "Self-checks", "Not scored", "Protocol"]
        assert page.locator("nav a").all_inner_texts() == headings
        table = page.locator("table.scores").inner_text()
        for name, label in LABELS.items():
            assert label in table
            assert number(scores["scores"][name]["made"]["value"]) in table
        assert page.locator("img").count() == 4
        for picture in page.locator("img").all():
            picture.scroll_into_view_if_needed()
            assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
        for number_of, player in enumerate(page.locator("audio").all()):
            player.scroll_into_view_if_needed()
            if number_of == 0:  # the button is the browser's own, at the left
                player.click(position={"x": 26, "y": player.bounding_box()["height"] / 2})
            else:
                player.focus()
                page.keyboard.press("Space")
            page.wait_for_function("audio => audio.currentTime > 0.1 && !audio.paused", arg=player.element_handle())
            assert player.evaluate("audio => audio.duration") == pytest.approx(86016 / 22050, abs=0.01)
            player.evaluate("audio => audio.pause()")


def test_on_a_phone_only_the_tables_scroll_sideways(evaluation, browser):  # noqa: F811
    write_report(evaluation[0])
    with opened(browser, evaluation[0] / "report", viewport={"width": 360, "height": 700}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator(".wide").first.evaluate("box => box.scrollWidth > box.clientWidth")


def test_every_cell_of_the_confusion_can_be_read_in_light_and_dark(evaluation, browser):  # noqa: F811
    write_report(evaluation[0])
    colours = []
    with opened(browser, evaluation[0] / "report") as page:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            colours += page.evaluate("""() => [...document.querySelectorAll('.heat td[style]')].map(cell =>
                [getComputedStyle(document.body).backgroundColor, getComputedStyle(cell).backgroundColor,
                 getComputedStyle(cell).color].map(colour => colour.match(/[\\d.]+/g).map(Number)))""")
    assert len({str(ground) for ground, *_ in colours}) == 2
    for ground, (*hot, alpha), ink in colours:
        seen = alpha * np.array(hot) + (1 - alpha) * np.array(ground)
        assert contrast(seen, np.array(ink)) > 4.5  # what WCAG asks of small text


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """WCAG 2 contrast of two colours of 0..255."""
    def luminance(colour: np.ndarray) -> float:
        part = colour / 255
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_no_text_becomes_markup(copy, browser):  # noqa: F811
    folder, write = copy

    def change(scores: dict) -> None:
        scores["recipe"] = HOSTILE
        scores["examples"][0] |= {"text": HOSTILE, "captioned": HOSTILE, "id": HOSTILE}
        scores["examples"][0]["heard"][0]["name"] = HOSTILE
        scores["scores"]["f1"] |= {"label": HOSTILE, "unit": HOSTILE, "group": HOSTILE}
        scores["by"][HOSTILE] = {HOSTILE: {"f1": scores["scores"]["f1"]["made"]}}
        scores["confusion"]["classes"] = [HOSTILE] * len(scores["confusion"]["classes"])
        scores["sweeps"] = [{"over": HOSTILE, "values": [HOSTILE, "b"], "scores": {"f1": [0, 1]}}]
        scores["checks"][0] |= {"name": HOSTILE, "detail": HOSTILE}
        scores["skipped"][0] |= {"name": HOSTILE, "why": HOSTILE}
        scores["protocol"] = {HOSTILE: {HOSTILE: [HOSTILE]}}

    write(change)
    write_report(folder)
    with opened(browser, folder / "report") as page:
        assert page.title() == f"Evaluation of {HOSTILE}"
        assert page.locator("script").count() == 0
        assert page.locator("img").count() == 4
        assert page.locator("[onerror]").count() == 0


def test_the_bar_tells_how_far_from_chance_to_ceiling(copy):
    folder, write = copy

    def change(scores: dict) -> None:
        row = {"low": 6.0, "high": 9.0, "clips": 9}
        scores["scores"] = {"fd": {"label": "FD", "group": "distances", "better": "lower", "unit": "",
                                   "made": {**row, "value": 8.0}, "chance": {**row, "value": 10.0},
                                   "ceiling": {**row, "value": 2.0}}}

    write(change)
    page = write_report(folder).read_text()
    assert "25% of the way from chance to ceiling (12% to 50%)" in page  # (10 - 8) / (10 - 2), ends (10 - 9), (10 - 6)
    width = float(re.search(r'class="fill" x="10\.0" y="5" width="([\d.]+)"', page)[1])
    track = float(re.search(r'class="track" x="10" y="5" width="([\d.]+)"', page)[1])
    assert width / track == pytest.approx(0.25, abs=0.01)


def test_what_is_not_known_is_left_out(copy):
    folder, write = copy

    def change(scores: dict) -> None:
        for key in ("by", "confusion", "sweeps", "checks", "skipped", "examples"):
            del scores[key]
        scores["scores"]["f1"]["made"] |= {"value": None, "low": float("nan"), "high": None}

    write(change)
    page = write_report(folder).read_text()
    assert re.findall(r"<h2[^>]*>([^<]*)", page) == ["What is heard in the scenes", "Protocol"]
    assert "nan" not in page.lower().split("</style>")[1]


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.update(format=2), "has format 2, expected 1"),
    (lambda s: s.pop("protocol"), "the key 'protocol' is missing"),
    (lambda s: s["scores"]["f1"].pop("better"), "scores: f1: the key 'better' is missing"),
    (lambda s: s["scores"]["f1"].update(better="up"), "scores.f1.better is 'up', expected higher or lower"),
    (lambda s: s["scores"]["f1"]["made"].pop("low"), "f1: made: the key 'low' is missing"),
    (lambda s: s["scores"]["f1"]["made"].update(value="0.8"), 'value is "0.8", expected a number or null'),
    (lambda s: s["scores"]["f1"]["made"].update(clips=True), "clips is true, expected a number"),
    (lambda s: s["confusion"]["asked"].pop(), "confusion.asked is not 64 x 64"),
    (lambda s: s["sweeps"][0]["scores"]["f1"].pop(), "f1 has 2 values for 3 of guidance_scale"),
    (lambda s: s["examples"][1].update(audio="clips/none.wav"), "audio of example 0001 is clips/none.wav"),
    (lambda s: s["examples"][1].update(picture="/etc/passwd"), "expected a path within the evaluation's folder"),
    (lambda s: s["examples"][1].update(picture="https://example.org/a.png"), "there is no"),
])
def test_a_mistake_is_named(copy, change, message):
    folder, write = copy
    write(change)
    with pytest.raises((ValueError, OSError), match=re.escape(message)) as error:
        write_report(folder)
    assert "scores.json" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (folder / "report" / "index.html").exists() or (folder / "report" / "index.html").stat().st_size


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3"])
def test_a_file_that_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "scores.json").write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=r"scores\.json"):
        write_report(tmp_path)


def test_order_alone_is_drawn_as_words_above(tmp_path):
    mel = np.zeros((80, 336), np.float32)
    heard = [{"name": "dog", "onset": 0.5, "offset": 0.7}]
    pictures = {}
    of_order = [{"name": "dog"}, {"name": "alarm_clock", "onset": None, "offset": None}]
    begins = [{**heard[0], "offset": None}]
    for name, asked in [("times", heard), ("order", of_order), ("nothing", []), ("onset", begins)]:
        save_timelines(tmp_path / f"{name}.png", mel, MelSettings(), asked, heard)
        pictures[name] = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
    assert pictures["order"].shape[0] > pictures["times"].shape[0]  # one class more
    dotted = [(pictures[name][-150:-60, 100:-20].min(-1) > 120).sum()
              for name in ("times", "order", "nothing", "onset")]
    assert dotted[0] > 20  # both times asked for, as dotted lines in the empty spectrogram
    assert dotted[1:3] == [0, 0]
    assert 10 < dotted[3] < dotted[0]  # one line, of a sound that is to begin at a second
    with pytest.raises(ValueError, match="event dog from None to 1: expected an onset too"):
        save_timelines(tmp_path / "half.png", mel, MelSettings(), [{"name": "dog", "offset": 1}], [])


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 0.84), (3, 3), (0, 0), (-2, 7), (1e-4, 2e-4), (12, 2104)])
def test_ticks_enclose_what_they_measure(low, high):
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert ticks[0] <= low <= high <= ticks[-1]
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])
