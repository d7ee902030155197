"""Texts of labels: what they say and what they leave open, that a seed fixes them, the ontology, the printed table."""

from __future__ import annotations

import csv
import itertools
import json
import random
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from diffsound.cli import main
from diffsound.data import LabelText, TokenDataModule, ontology
from diffsound.data.label_text import _FRAMES, _JOINTS, _names
from diffsound.data.loading import item_rng
from diffsound.data.token_store import StoredClip, TokenStoreWriter
from diffsound.mel import MelSettings

LABELS = ["Dog", "Rain", "Church bell"]
NAMES = ["dog", "rain", "church bell"]
CLASSES = [
    {"id": "/m/1", "name": "Natural sounds", "description": "Sounds of nature.", "child_ids": ["/m/2"]},
    {"id": "/m/2", "name": "Animal", "description": "All sound produced by nonhuman animals.", "child_ids": ["/m/3"]},
    {"id": "/m/3", "name": "Dog", "child_ids": [],
     "description": "Any sounds coming from the familiar domesticated canid, e.g. a puppy. It is often kept as a pet."},
    {"id": "/m/4", "name": "Domestic animals, pets", "description": "Animals.",
     "child_ids": ["/m/3", "/m/7"]},
    {"id": "/m/5", "name": "Heading", "description": "A heading.", "child_ids": ["/m/3", "/m/6"],
     "restrictions": ["abstract"]},
    {"id": "/m/6", "name": "Hoot", "description": "Brief.", "child_ids": []},
    {"id": "/m/7", "name": "Cat", "description": "Brief.", "child_ids": []},
    {"id": "/m/8", "name": "Owl", "child_ids": [],
     "description": "The sound of a large, wide-eyed (and wise) bird at night that carries far through a dark and "
                    "quite empty forest in winter."},
]
DOG_IN_OTHER_WORDS = {"animal", "domestic animals", "pets",
                      "any sounds coming from the familiar domesticated canid"}


def written_ontology(path, classes=CLASSES) -> str:
    path.write_text(json.dumps([{"restrictions": [], **entry} for entry in classes]))
    return str(path)


def texts(label_text: LabelText, labels, number: int = 400, mask: str = "[MASK]") -> list[str]:
    return [label_text(labels, item_rng(0, 0, i), mask) for i in range(number)]


def test_masks_around_are_one_or_two_on_one_side_of_each_label():
    pieces = Counter()
    for text in texts(LabelText(), LABELS):
        for name in NAMES:
            assert text.count(name) == 1
        words = text.replace("church bell", "church-bell").split()
        assert sum(word == "[MASK]" for word in words) in range(3, 7)
        # Some way of giving each label its one or two masks on one side must explain the text.
        assert re.fullmatch(r"((\[MASK\] ){1,2}[a-z-]+ ?|[a-z-]+( \[MASK\]){1,2} ?){3}", " ".join(words)), text
        pieces[words[0] == "[MASK]", words[-1] == "[MASK]"] += 1
    assert len(pieces) == 4
    assert min(pieces.values()) > 60  # of 400, expected 100 each


def test_a_single_label_has_all_four_forms_equally_often():
    forms = Counter(texts(LabelText(), ["Dog"], 4000, "mask"))
    assert set(forms) == {"mask dog", "mask mask dog", "dog mask", "dog mask mask"}
    assert min(forms.values()) > 900


def test_masks_between_are_never_at_the_ends():
    gaps = Counter()
    for text in texts(LabelText(masks="between"), LABELS):
        first, *inner = re.split(r"((?: \[MASK\]){1,2}) ", text)
        assert sorted([first, *inner[1::2]]) == sorted(NAMES)
        gaps.update(gap.count("[MASK]") for gap in inner[::2])
    assert set(gaps) == {1, 2}
    assert set(texts(LabelText(masks="between"), ["Dog"], 9)) == {"dog"}


@pytest.mark.parametrize("masks", ["around", "between", "none"])
def test_every_order_is_equally_likely(masks):
    orders = Counter(tuple(sorted(NAMES, key=text.index)) for text in texts(LabelText(masks=masks), LABELS, 6000))
    assert set(orders) == set(itertools.permutations(NAMES))
    assert all(abs(count - 1000) < 150 for count in orders.values())  # 5 standard deviations


def test_without_masks_it_is_a_plain_list():
    assert {frozenset(text.split(", ")) for text in texts(LabelText(masks="none"), LABELS)} == {frozenset(NAMES)}


@pytest.mark.parametrize("options", [{}, {"masks": "none"}, {"templates": 0.5}, {"synonyms": 0.5}])
def test_a_text_is_a_function_of_labels_and_rng(options, tmp_path):
    if "synonyms" in options:
        options = {**options, "ontology": written_ontology(tmp_path / "ontology.json")}
    first, second = (texts(LabelText(**options), LABELS, 50) for _ in range(2))
    assert first == second
    assert len(set(first)) > 5


def test_a_label_is_said_once_however_often_it_is_there():
    assert set(texts(LabelText(masks="none"), ["Dog", "dog", "Dog ", "Cat"], 50)) == {"dog, cat", "cat, dog"}


@pytest.mark.parametrize(("label", "names"), [
    ("Male speech, man speaking", {"male speech", "man speaking"}),
    ("Hubbub, speech noise, speech babble", {"hubbub", "speech noise", "speech babble"}),
    ("Inside, small room", {"inside a small room"}), ("Bee, wasp, etc.", {"bee or wasp or the like"}),
    ("Whimper (dog)", {"whimper dog"}), ("A (b, c), d", {"a b c", "d"}), ("Crowing, Cock-a-doodle-doo",
                                                                           {"crowing", "cock-a-doodle-doo"}),
])
def test_one_of_the_names_in_a_label_is_said(label, names):
    assert set(texts(LabelText(masks="none"), [label], 100)) == names


def test_templates_name_the_labels_and_claim_no_order():
    claims = {"then", "after", "before", "followed", "first", "while", "during", "background", "loud"}
    frames = {frame.replace("{}", "").strip() for frame in _FRAMES}
    seen = Counter()
    for text in texts(LabelText(templates=1), LABELS, 1000):
        assert all(text.count(name) == 1 for name in NAMES)
        assert "MASK" not in text
        assert not claims & set(text.split())
        rest = re.sub("|".join(NAMES), "X", text)
        frame = re.sub(r"X, X(" + "|".join(_JOINTS) + ")X", "", rest).strip()
        assert frame in frames, text
        seen[frame] += 1
    assert set(seen) == frames
    assert set(texts(LabelText(templates=1), ["Dog"])) == {frame.format("dog") for frame in _FRAMES}


def test_templates_are_a_probability():
    plain = sum("[MASK]" not in text for text in texts(LabelText(templates=0.3), LABELS, 4000))
    assert abs(plain - 1200) < 150


def test_synonyms_are_parents_and_the_description(tmp_path):
    path = written_ontology(tmp_path / "ontology.json")
    said = Counter(texts(LabelText("none", path, synonyms=1), ["Dog"], 900))
    assert set(said) == DOG_IN_OTHER_WORDS  # no heading
    assert abs(said["animal"] - 300) < 80  # three kinds of words, of which one has two names
    kept = texts(LabelText("none", path, synonyms=0.25), ["Dog"], 4000).count("dog")
    assert abs(kept - 3000) < 150
    assert set(texts(LabelText("none", path, synonyms=1), ["Owl"], 9)) == {"a large wide-eyed bird at night"}


def test_what_has_no_other_words_stays_itself(tmp_path):
    label_text = LabelText("none", written_ontology(tmp_path / "ontology.json"), synonyms=1)
    assert set(texts(label_text, ["Theremin"], 20)) == {"theremin"}
    assert set(texts(label_text, ["Hoot"], 20)) == {"hoot"}


def test_other_words_are_never_those_of_another_label(tmp_path):
    label_text = LabelText("none", written_ontology(tmp_path / "ontology.json"), synonyms=0.7)
    for labels in (["Dog", "Animal", "Domestic animals, pets"], ["Dog", "Cat", "Animal"]):
        for text in texts(label_text, labels):
            words = text.split(", ")
            assert len(words) == len({word.replace("domestic animals", "pets") for word in words}) == 3
            if "Cat" not in labels:
                assert {"dog", "any sounds coming from the familiar domesticated canid"} & set(words)


@pytest.mark.parametrize(("options", "message"), [
    ({"masks": "everywhere"}, "tokens.init_args.label_text.init_args.masks 'everywhere' must be one of around"),
    ({"synonyms": 1.5}, "label_text.init_args.synonyms 1.5 must be a probability"),
    ({"templates": -0.1}, "label_text.init_args.templates -0.1 must be a probability"),
    ({"synonyms": 0.5}, r"label_text.init_args.synonyms 0.5 needs .*label_text.init_args.ontology"),
    ({"ontology": "absent.json"}, "label_text.init_args.ontology: there is no absent.json"),
])
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LabelText(**options)


@pytest.mark.parametrize(("labels", "message"), [([], "no labels to make a text of.*text_from"),
                                                 (["Dog", "()"], r"the label '\(\)' has no words")])
def test_labels_without_words_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        LabelText()(labels, random.Random(0), "[MASK]")


def test_the_ontology_knows_several_parents(tmp_path):
    classes = ontology.read(written_ontology(tmp_path / "ontology.json"))
    assert classes["Dog"].parents == ["Animal", "Domestic animals, pets", "Heading"]
    assert classes["Natural sounds"].parents == []
    assert classes["Heading"].restrictions == ["abstract"]


@pytest.mark.parametrize(("content", "message"), [
    ("{", "is not JSON"), ("{}", "expected a list"), ("[3]", r"ontology.json\[0\] is 3, expected a mapping"),
    ('[{"id": "/m/1"}]', r"ontology.json\[0\]: the key 'name' is missing"),
    (json.dumps([{**CLASSES[0], "restrictions": []}]), "'Natural sounds' has the child '/m/2', but no class has"),
    (json.dumps([{**CLASSES[5], "restrictions": []}] * 2), "two classes have the id '/m/6'"),
    (json.dumps([{**CLASSES[5], "restrictions": [], "id": id_} for id_ in "ab"]), "two classes have the name 'Hoot'"),
])
def test_a_malformed_ontology_is_refused(tmp_path, content, message):
    (tmp_path / "ontology.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        ontology.read(tmp_path / "ontology.json")
    with pytest.raises(ValueError, match=f"label_text.init_args.ontology: .*{message}"):
        LabelText(ontology=str(tmp_path / "ontology.json"))


def audioset_names(shared_data) -> list[str]:
    with (shared_data / "audioset" / "class_labels_indices.csv").open(newline="") as file:
        return [row["display_name"] for row in csv.DictReader(file)]


def test_all_names_of_audioset_give_clean_and_different_text(shared_data):
    names = [_names(label) for label in audioset_names(shared_data)]
    assert len(names) == 527
    assert all(re.fullmatch(r"[a-z'-]+( [a-z'-]+)*", name) for several in names for name in several)
    counts = Counter(name for several in names for name in several)
    assert set(counts.values()) == {1}  # no two labels are ever said alike
    assert not {"etc", "etc.", "inside", "and pans"} & counts.keys()


def test_other_words_for_all_names_of_audioset_are_clean(shared_data):
    label_text = LabelText("none", str(shared_data / "audioset" / "ontology.json"), synonyms=1)
    reworded = 0
    for label in audioset_names(shared_data):
        said = set(texts(label_text, [label], 20))
        assert all(1 <= len(text.split()) <= 16 for text in said)
        assert all(re.fullmatch(r"[^\s,;()A-Z.]+( [^\s,;()A-Z.]+)*", text) for text in said), said
        reworded += said.isdisjoint(_names(label))
    assert reworded > 480


def test_ten_labels_of_audioset_fit_into_clip(shared_data):
    import open_clip

    encode, names = open_clip.SimpleTokenizer().encode, audioset_names(shared_data)
    lengths = [len(encode(LabelText()(random.Random(i).sample(names, 10), item_rng(0, 0, i), "mask"))) + 2
               for i in range(300)]
    assert np.mean(np.array(lengths) > 77) < 0.01
    longer = len(encode(LabelText()(names[:10], item_rng(0, 0, 0), "[MASK]")))
    assert longer > len(encode(LabelText()(names[:10], item_rng(0, 0, 0), "mask"))) + 10


def test_items_have_generators_of_their_own():
    first = [item_rng(*key).random() for key in itertools.product(range(20), range(20), range(100))]
    assert len(set(first)) == len(first)
    counts, _ = np.histogram(first, 20, (0, 1))
    assert abs(counts - 2000).max() < 220  # 5 standard deviations: neighbours are not alike
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03
    assert item_rng(1, 2, 3).random() == item_rng(1, 2, 3).random()


MANY = ["Dog", "Rain", "Bell", "Hubbub, speech noise, speech babble"]


@pytest.fixture
def store(tmp_path):
    """Rows 0 to 2 validate, 3 to 11 train."""
    clips = [StoredClip(f"{i}.wav", [f"{i}a", f"{i}b"], MANY[:1 + i % 4], "val" if i < 3 else "train", str(i))
             for i in range(12)]
    with TokenStoreWriter(tmp_path / "tokens", "codec", MelSettings(), 2, 3, 256) as writer:
        writer.add(np.arange(12)[:, None] * 10 + np.arange(6), clips)
    return tmp_path / "tokens"


def label_data(store, **options) -> TokenDataModule:
    data = TokenDataModule(str(store), **{"batch_size": 3, "text_from": "labels", **options})
    encoder = SimpleNamespace(mask_token="mask")
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(encoder=encoder), world_size=1, global_rank=0,
                                   global_step=0, accumulate_grad_batches=1)
    data.setup("fit")
    return data


def by_row(batches) -> dict[int, str]:
    return {int(tokens[0]) // 10: text for batch in batches
            for tokens, text in zip(batch["tokens"], batch["text"], strict=True)}


@pytest.mark.parametrize("options", [{}, {"label_text": LabelText("between", templates=0.5)}])
def test_training_draws_from_seed_epoch_and_row(store, options):
    data = label_data(store, seed=5, **options)
    label_text = options.get("label_text", LabelText())
    loader = data.train_dataloader()
    drawn = by_row(loader)
    assert drawn == {row: label_text(MANY[:1 + row % 4], item_rng(5, 0, row), "mask") for row in range(3, 12)}
    dataset = loader.dataset
    assert dataset[2, 0]["text"] == label_text(MANY, item_rng(5, 2, 3), "mask")
    assert len({dataset[epoch, 4]["text"] for epoch in range(30)}) > 5
    validation = by_row(data.val_dataloader())
    assert validation == {row: label_text(MANY[:1 + row % 4], item_rng(0, 0, row), "mask") for row in range(3)}


def test_captions_do_not_care(store):
    assert by_row(label_data(store, text_from="captions").val_dataloader()) == {0: "0a", 1: "1a", 2: "2a"}


def test_a_clip_without_labels_is_named(tmp_path):
    with TokenStoreWriter(tmp_path / "tokens", "codec", MelSettings(), 1, 1, 4) as writer:
        writer.add(np.zeros((3, 1), int), [StoredClip(f"{i}.wav", [], ["Dog"][:i % 2], "train", "a") for i in range(3)])
    with pytest.raises(ValueError, match="2 clips of the split 'train' in .*tokens have no labels, the first is 0.wav"):
        label_data(tmp_path / "tokens").train_dataloader()


def test_a_curriculum_lets_in_clips_by_their_number_of_labels(store):
    def labels_seen(step: int, **options) -> set[int]:
        data = label_data(store, **options)
        data.trainer.global_step = step
        return {1 + row % 4 for row in by_row(data.train_dataloader())}

    curriculum = {0: 1, 4: 3, 9: None}
    seen = {step: labels_seen(step, curriculum=curriculum) for step in (0, 1, 4, 6, 9, 12)}
    assert seen == {0: {1}, 1: {1}, 4: {1, 2, 3}, 6: {1, 2, 3}, 9: {1, 2, 3, 4}, 12: {1, 2, 3, 4}}
    assert labels_seen(0, curriculum=curriculum, text_from="captions") == {1, 2, 3, 4}
    with pytest.raises(ValueError, match="tokens.init_args.curriculum begin at the steps .3.: expected 0 first"):
        label_data(store, curriculum={3: 1}).train_dataloader()
    with pytest.raises(ValueError, match="no clip is left for the phase of tokens.init_args.curriculum from step 0"):
        label_data(store, curriculum={0: 0}).train_dataloader()


def printed(capsys, *arguments) -> list[str]:
    """The texts in the table, which are its last lines, every second one."""
    assert main(["label-text", *map(str, arguments)]) == 0, capsys.readouterr().err
    return [line.strip() for line in capsys.readouterr().out.splitlines()[4::2]]


RECIPE = """
name: x
tokens: {class_path: diffsound.data.TokenDataModule, init_args: {store: "${runs}/tokens", seed: 7VARIANT}}
text_encoder: {class_path: diffsound.text_encoder.CLIPTextEncoder, init_args: {path: absent.safetensors}}
"""
BETWEEN = ", label_text: {class_path: diffsound.data.LabelText, init_args: {masks: between}}"


def test_the_table_shows_what_training_draws(store, tmp_path, capsys):
    drawn = by_row(label_data(store, seed=5).train_dataloader())
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("VARIANT", ""))
    shown = printed(capsys, "--store", store, "--clips", 100, "--seed", 5, "--recipe", recipe)
    assert len(shown) == 12
    assert dict(enumerate(shown)).items() >= drawn.items()
    rows = [json.dumps({"audio": f"{i}.wav", "labels": MANY[:1 + i % 4]}) for i in range(12)]
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows))
    assert printed(capsys, "--manifest", tmp_path / "manifest.jsonl", "--seed", 5, "--recipe", recipe) == shown
    later = printed(capsys, "--store", store, "--seed", 5, "--epoch", 3, "--recipe", recipe)
    assert later == [LabelText()(MANY[:1 + i % 4], item_rng(5, 3, i), "mask") for i in range(12)]
    assert printed(capsys, "--store", store, "--clips", 2) == [
        LabelText()(MANY[:1 + i], item_rng(0, 0, i), "[MASK]") for i in range(2)]


@pytest.mark.parametrize(("variant", "flags", "options"), [
    (BETWEEN, [], {"masks": "between"}), (BETWEEN, ["--masks", "none"], {"masks": "none"}),
    ("", ["--masks", "none"], {"masks": "none"}),
    (BETWEEN, ["--templates", "0.5"], {"masks": "between", "templates": 0.5}),
    (BETWEEN, ["--synonyms", "1", "--ontology", "ONTOLOGY"],
     {"masks": "between", "synonyms": 1, "ontology": "ONTOLOGY"}),
])
def test_the_recipe_has_a_variant_and_flags_override_it(store, tmp_path, capsys, variant, flags, options):
    path = written_ontology(tmp_path / "ontology.json")
    flags = [flag.replace("ONTOLOGY", path) for flag in flags]
    options = {name: path if value == "ONTOLOGY" else value for name, value in options.items()}
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("VARIANT", variant))
    shown = printed(capsys, "--store", store, "--recipe", tmp_path / "recipe.yaml", *flags)
    assert shown == [LabelText(**options)(MANY[:1 + i % 4], item_rng(7, 0, i), "mask") for i in range(12)]


def test_lists_of_audioset_need_no_audio(shared_data, capsys):
    folder = shared_data / "audioset"
    shown = printed(capsys, "--segments", folder / "eval_segments.csv", "--clips", 5)
    assert len(shown) == 5
    assert all("[MASK]" in text for text in shown)


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "one of the arguments"), (["--segments", "x.csv", "--store", "y"], "not allowed with"),
    (["--manifest", "x", "--clips", "0"], "--clips 0 must be at least 1"),
])
def test_a_wrong_command_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(["label-text", *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--manifest", "NOWHERE"], "no manifest at"), (["--store", "NOWHERE"], "is not a token store"),
    (["--manifest", "EMPTY"], "clip b.wav: no labels"), (["--manifest", "EMPTY", "--synonyms", "1"], "needs"),
    (["--manifest", "EMPTY", "--recipe", "NOWHERE"], "there is no recipe"),
    (["--segments", "NOWHERE"], "no segment list at"), (["--segments", "EMPTY"], "no class_labels_indices.csv in"),
])
def test_what_cannot_be_printed_is_explained(arguments, message, tmp_path, capsys):
    (tmp_path / "EMPTY").write_text('{"audio": "b.wav"}\n')
    arguments = [str(tmp_path / word) if word.isupper() else word for word in arguments]
    assert main(["label-text", *arguments]) == 1
    assert message in capsys.readouterr().err
