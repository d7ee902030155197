"""The manifest of the recordings that `recipes/tiny.yaml` trains on, and who made them.

    python recipes/tiny_recordings.py ESC10 MORE --manifest data/tiny/recordings.jsonl --attribution ATTRIBUTION.md

ESC10 is a folder with audio/ and metadata.csv (filename, fold, category, source_id, source_title, author, license,
source_url): folds 1 to 3 are for training, fold 4 for the test. MORE is a folder with a manifest.jsonl of freely
licensed sounds (audio, caption, labels, license, attribution, source_urls, group); those under share-alike licences are
left out, and those of a recording that fold 4 was cut from. In captions everything recorded is "real": so that a real
dog can be told from one of the synthesised scenes.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import zlib
from pathlib import Path

from diffsound.data.manifest import Clip, write
from diffsound.scenes.sounds import SOUNDS
from diffsound.scenes.sounds.sound import Words
from diffsound.scenes.wider_words import WIDER_WORDS

SCENE_CLASS = {"Dog bark": "dog", "Rain": "rain", "Sea waves": "wave", "Clock tick": "clock",
               "Helicopter": "helicopter", "Fire crackling": "fire", "Rooster": "rooster", "Baby cry": "baby",
               "Person sneeze": "sneeze"}
CHAINSAW = Words(
    ("a chainsaw runs", "a chainsaw buzzes", "a chainsaw roars", "a chainsaw cuts through wood", "a motor saw runs"),
    ("a chainsaw running", "a chainsaw buzzing", "a chainsaw roaring", "a chainsaw cutting a tree",
     "a motor saw running"),
    ("a chainsaw", "the roar of a chainsaw", "a running chainsaw", "chainsaw noise", "a motor saw"))
CAPTIONS = 8  # of a clip
VALIDATION = 12  # one of so many groups of MORE


def real(caption: str) -> str | None:
    """'a dog barks' -> 'a real dog barks'; None of one that says no thing to which the word could be put."""
    caption = caption.strip().rstrip(".")
    caption = caption[:1].lower() + caption[1:]
    if re.match("(it|some(one|body|thing)|the .* of|what|there)\\b", caption):
        return None
    article, rest = re.match("((?:an?|the) )?(.*)", caption).groups()
    return {"": "", "an ": "a "}.get(article or "", article) + f"real {rest}"


def phrases(category: str) -> list[str]:
    """What is said of a class of ESC-10."""
    if category == "Chainsaw":
        known = (CHAINSAW,)
    else:
        name = SCENE_CLASS[category]
        known = (SOUNDS[name].words, WIDER_WORDS[name])
    said = [phrase for words in known for phrase in (*words.clauses, *words.participles, *words.nouns)]
    return [caption for phrase in said if (caption := real(phrase))]


def esc10(folder: Path) -> list[tuple[Clip, str]]:
    """Clips and lines of attribution."""
    found = []
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            captions = random.Random(row["filename"]).sample(phrases(row["category"]), CAPTIONS)
            split = "test" if row["fold"] == "4" else "train"
            clip = Clip(folder / "audio" / row["filename"], captions, [row["category"]], split, f"fs{row['source_id']}")
            found.append((clip, f'{row["filename"]} (ESC-10, fold {row["fold"]}): "{row["source_title"]}" by '
                                f'{row["author"]}, {row["license"]}, {row["source_url"]}'))
    return found


def more(folder: Path, held_out: set[str]) -> list[tuple[Clip, str]]:
    found = []
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        origins = {f"fs{url.rstrip('/').rsplit('/', 1)[-1]}" for url in row["source_urls"] if "freesound" in url}
        if "-SA" in row["license"] or origins & held_out:
            continue
        caption = real(row["caption"]) or f"{row['caption'].strip('. ').lower()} for real"
        split = "val" if zlib.crc32(row["group"].encode()) % VALIDATION == 0 else "train"
        found.append((Clip(folder / row["audio"], [caption], row["labels"], split, row["group"]),
                      f"{row['audio']}: {row['attribution']}; {row['license']}; {', '.join(row['source_urls'])}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("esc10", type=Path)
    parser.add_argument("more", type=Path)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--attribution", type=Path, required=True)
    arguments = parser.parse_args()
    clips = esc10(arguments.esc10)
    clips += more(arguments.more, {clip.group for clip, _ in clips if clip.split == "test"})
    arguments.manifest.parent.mkdir(parents=True, exist_ok=True)
    write(arguments.manifest, [clip for clip, _ in clips])
    used = [line for clip, line in clips if clip.split != "test"]
    arguments.attribution.write_text("# Recordings that the model learned from\n\n" +
                                     "".join(f"- {line}\n" for line in used), encoding="utf-8")
    print(f"{len(clips)} clips in {arguments.manifest}, {len(used)} of them for training and validation")


if __name__ == "__main__":
    main()
