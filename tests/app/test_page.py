"""The page in a real browser, with a real server: type, make, hear, look, make again."""

from __future__ import annotations

import json
import re
import time

import pytest
from browser import browser, visited  # noqa: F401
from serving import CARD, served_on_a_port

PHONE = {"width": 360, "height": 740}


class Slow:
    """A model that takes its time for every step."""

    def __init__(self, model):
        self.model, self.seconds = model, 0.0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, texts, *arguments, on_step=None, **options):
        def slow(step, of):
            on_step(step, of)
            time.sleep(self.seconds)

        return self.model(texts, *arguments, on_step=slow if texts else None, **options)


@pytest.fixture(scope="module")
def slow(model):
    return Slow(model)


@pytest.fixture(autouse=True)
def quick(slow):
    slow.seconds = 0.0


@pytest.fixture(scope="module")
def address(slow):
    with served_on_a_port(slow) as address:
        yield address


def make(page, text: str, **fields) -> None:
    for name, value in {"What should be heard?": text, **fields}.items():
        page.get_by_label(re.compile(rf"^{re.escape(name)}")).fill(str(value))
    page.get_by_role("button", name="Make it").click()


def clip(page, text: str):
    """The newest clip, when it is that of `text`."""
    found = page.get_by_role("listitem").filter(has=page.locator("audio")).first
    found.get_by_role("heading", name=text, exact=True).wait_for()
    return found


def duration(found) -> float:
    found.page.wait_for_function("audio => audio.duration > 0", arg=found.locator("audio").element_handle())
    return found.locator("audio").evaluate("audio => audio.duration")


def test_type_make_hear_look_and_make_again(browser, address, slow, tmp_path):  # noqa: F811
    with visited(browser, address) as page:
        page.get_by_text("the bundle small").wait_for()
        assert page.locator("#card").text_content() == CARD  # as text
        make(page, "a dog barks", Seed=7, Steps=2, Guidance=2.5, Length=0.5)
        found = clip(page, "a dog barks")
        expected = slow.model("a dog barks", 7, steps=2, guidance=2.5, duration=0.5)
        assert duration(found) == pytest.approx(len(expected.waveform) / expected.sample_rate, abs=1e-3)
        assert "seed 7, 2 steps, guidance 2.5, 0.56 s" in found.locator(".settings").inner_text()
        assert found.locator(".spectrogram").evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        for title in ("Asked and heard", "How it was made: a film", "How sure it was"):
            found.get_by_text(title).click()
            group = found.get_by_role("group").filter(has_text=title)
            group.get_by_role("img").wait_for()
            assert group.get_by_role("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        with page.expect_download() as sound:
            found.get_by_role("link", name="Sound").click()
        assert sound.value.suggested_filename == "a-dog-barks-7.wav"
        with page.expect_download() as settings:
            found.get_by_role("link", name="Settings").click()
        sidecar = tmp_path / settings.value.suggested_filename
        settings.value.save_as(sidecar)
        assert json.loads(sidecar.read_text())["tokens"] == expected.tokens.tolist()

        make(page, "rain")
        clip(page, "rain")
        page.get_by_label("The .json file of a sound").set_input_files(sidecar)
        again = clip(page, "a dog barks")
        assert again.get_by_text("The same sound again, bit for bit.").is_visible()
        assert [one.inner_text() for one in page.locator("#history h3").all()] == ["a dog barks", "rain", "a dog barks"]

        other = json.loads(sidecar.read_text()) | {"seed": 8}
        page.evaluate("""text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "other.json"));
          document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }""", json.dumps(other))
        page.get_by_text("Not the same").wait_for()
        page.locator("#history li").last.get_by_role("button", name="Use these settings").click()
        assert [page.locator(f"#{name}").input_value() for name in ("text", "seed", "steps", "guidance")] == \
            ["a dog barks", "7", "2", "2.5"]
        page.get_by_role("button", name="Make it").click()
        page.get_by_text("Done: a dog barks").wait_for()
        lengths = page.locator("#history audio").evaluate_all("all => all.map(audio => audio.duration)")
        assert lengths[0] == lengths[-1]  # no column longer for being used again

        page.reload()
        page.wait_for_function("() => document.querySelectorAll('#history li').length === 5")


def test_of_several_takes_the_best_is_kept(browser, address, slow):  # noqa: F811
    with visited(browser, address, refused=(422,)) as page:
        make(page, "a dog barks", Steps=2, Takes=3)
        settings = clip(page, "a dog barks").locator(".settings").inner_text()
        assert "the best of 3 takes" in settings
        page.get_by_role("button", name="Use these settings").click()
        assert page.locator("#best_of").input_value() == "1"  # the seed is that of the take itself
        page.get_by_role("button", name="Make it").click()
        page.wait_for_function("() => document.querySelectorAll('#history li').length === 2")
        assert page.locator("#history .settings").first.inner_text().split(",")[0] == settings.split(",")[0]
        make(page, "nothing of a scene", Takes=2)
        page.get_by_role("alert").get_by_text("no sentence of a scene").wait_for()


def test_progress_and_cancel(browser, address, slow):  # noqa: F811
    slow.seconds = 0.4
    with visited(browser, address) as page:
        make(page, "rain", Steps=6)
        page.get_by_text(re.compile(r"Step [1-5] of 6\.")).wait_for()
        assert page.get_by_role("progressbar").is_visible()
        assert page.get_by_role("button", name="Make it").is_disabled()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Cancelled.").wait_for()
        assert page.locator("#history li").count() == 0
        assert not page.get_by_role("progressbar").is_visible()
        slow.seconds = 0
        make(page, "wind")
        clip(page, "wind")


def test_what_is_refused_is_told(browser, address):  # noqa: F811
    with visited(browser, address, refused=(404, 422)) as page:
        page.get_by_role("button", name="Make it").click()  # the browser asks for the sentence itself
        assert page.locator("#text:invalid").count() == 1
        make(page, "dog " * 100)
        page.get_by_role("alert").get_by_text("word pieces").wait_for()
        make(page, "<img src=x onerror=alert(1)> says nothing")
        found = clip(page, "<img src=x onerror=alert(1)> says nothing")
        assert page.get_by_role("alert").inner_text() == ""
        found.get_by_text("Asked and heard").click()
        found.get_by_text("no sentence of a scene").wait_for()
        page.get_by_label("The .json file of a sound").set_input_files(
            {"name": "x.json", "mimeType": "application/json", "buffer": b"{}"})
        page.get_by_role("alert").get_by_text("the key 'format' is missing").wait_for()


def test_by_keyboard_alone(browser, address):  # noqa: F811
    with visited(browser, address) as page:
        page.get_by_text("the bundle small").wait_for()
        focused = "document.activeElement.id"
        for _ in range(3):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == "text":
                break
        page.keyboard.type("a bell rings")
        order = []
        for _ in range(8):
            page.keyboard.press("Tab")
            order.append(page.evaluate(focused))
            if order[-1] == "dice":
                before = page.locator("#seed").input_value()
                page.keyboard.press("Enter")
                assert page.locator("#seed").input_value() != before
            if order[-1] == "make":
                page.keyboard.press("Enter")
        assert order == ["seed", "dice", "duration", "steps", "guidance", "best_of", "negative", "make"]
        page.get_by_text("Done: a bell rings").wait_for()
        page.wait_for_function("() => document.activeElement.id === 'make'")
        found = clip(page, "a bell rings")
        assert found.locator("audio").get_attribute("aria-label") == "sound: a bell rings"
        found.locator("summary").nth(1).focus()
        page.keyboard.press("Enter")
        found.get_by_role("img", name=re.compile("on its way from noise")).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_the_dark(browser, address, scheme):  # noqa: F811
    with visited(browser, address, viewport=PHONE, color_scheme=scheme) as page:
        make(page, "rain" * 12)
        found = page.locator("#history li").first
        found.wait_for()
        for title in ("How sure it was", "How it was made: a film"):
            found.get_by_text(title).click()
        found.locator("details img").nth(1).wait_for()
        page.get_by_text("About this model").click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for name in ("text", "seed", "duration", "steps", "guidance", "best_of", "negative"):
            assert page.locator(f"#{name}").evaluate("input => input.labels.length") == 1
        shades = page.evaluate("(style => [style.color, style.backgroundColor])(getComputedStyle(document.body))")
        ink, paper = (sum(map(int, re.findall(r"\d+", shade))) for shade in shades)
        assert (ink > paper) == (scheme == "dark")
        assert abs(ink - paper) > 500
        page.goto(f"{address}/api")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_what_the_server_forgets_is_still_heard(browser, slow):  # noqa: F811
    with served_on_a_port(slow, kept=1) as address, visited(browser, address, refused=(404,)) as page:
        make(page, "one")
        clip(page, "one")
        make(page, "two")
        clip(page, "two")
        first = page.locator("#history li").last
        assert duration(first) > 0
        first.get_by_text("How sure it was").click()
        first.get_by_text("there is no such job").wait_for()
        page.reload()
        clip(page, "two")
        assert page.locator("#history li").count() == 1


def test_a_queue_that_is_full_is_told(browser, slow):  # noqa: F811
    slow.seconds = 0.5
    with served_on_a_port(slow, waiting=1) as address, visited(browser, address, refused=(429,)) as page:
        page.get_by_text("the bundle small").wait_for()
        page.evaluate("""async () => {
          for (const text of ["one", "two"]) {
            await post("/api/jobs", JSON.stringify({text, steps: 6}));
            await new Promise(resolve => setTimeout(resolve, 200));
          }
        }""")
        make(page, "three")
        page.get_by_role("alert").get_by_text("1 jobs are waiting").wait_for()
        slow.seconds = 0
