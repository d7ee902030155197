"""`diffsound manifest`: from a downloaded data set to the manifest that recipes name."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from diffsound.data import layouts, manifest


def main(args: list[str]) -> None:
    """Write a manifest of the data set in a folder, and say what was found and what is missing."""
    parser = argparse.ArgumentParser(prog="diffsound manifest", description=main.__doc__)
    parser.add_argument("--layout", required=True, choices=sorted(layouts.READERS), help="how the folder is laid out")
    parser.add_argument("--root", required=True, type=Path, help="folder of the data set")
    parser.add_argument("--out", required=True, type=Path, help="manifest.jsonl to write")
    parser.add_argument("--val-fold", type=int, help="fold for validation (esc10, esc50; default: the last)")
    options = parser.parse_args(args)
    if options.val_fold is not None and options.layout not in ("esc10", "esc50"):
        parser.error(f"--val-fold is for esc10 and esc50, not for {options.layout}")
    folds = {} if options.val_fold is None else {"val_fold": options.val_fold}
    try:
        clips, missing, notes = layouts.READERS[options.layout](options.root, **folds)
        print(f"{options.layout} in {options.root}: {len(clips)} clips, {len(missing)} missing")
        for note in notes:
            print(f"  {note}")
        for name in missing[:5]:
            print(f"  missing: {name}")
        if missing:
            listed = options.out.with_suffix(".missing.txt")
            listed.parent.mkdir(parents=True, exist_ok=True)
            listed.write_text("\n".join(missing) + "\n", encoding="utf-8")
            print(f"  all {len(missing)} missing files are named in {listed}")
        manifest.write(options.out, clips)
        del clips, missing  # millions, perhaps
        clips = manifest.read(options.out)  # as a recipe will see it, splits included
    except ValueError as error:
        raise SystemExit(f"diffsound manifest: {error}") from error
    splits = Counter(clip.split for clip in clips)
    print("  splits: " + ", ".join(f"{name} {count}" for name, count in sorted(splits.items())))
    print(f"  {sum(len(clip.captions) for clip in clips)} captions, "
          f"{len({label for clip in clips for label in clip.labels})} labels")
    print(f"wrote {options.out}")
