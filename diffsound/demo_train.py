"""`diffsound demo-train`: the whole chain trained on procedural scenes, then a page of what it makes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from omegaconf import OmegaConf

from diffsound.callbacks.clip_writer import clip_name
from diffsound.demo_train_page import SENTENCES, write_page
from diffsound.recipe import fit_once, run

RECIPE = Path("recipes/scenes.yaml")
STAGES = {  # stage: (verb, what is said)
    "vqvae": ("fit", "the codec learns to turn sound into tokens and back"),
    "tokenize": ("tokenize", "all scenes become tokens"),
    "vocoder": ("fit", "the vocoder learns to turn mels into sound"),
    "diffusion": ("fit", "the decoder learns to turn text into tokens"),
    "predict": ("predict", "eight sentences become sound"),
}


def main(args: list[str]) -> None:
    """Train what is not trained yet, make the clips, write the page. Interrupted, it goes on where it stopped.

    Raises:
        FileNotFoundError: outside the project's folder, where the recipe is not found.
    """
    parser = argparse.ArgumentParser(prog="diffsound demo-train", description=main.__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo-train"), help="folder of the page and all else")
    parser.add_argument("--fresh", action="store_true", help="train again what is already trained")
    options, extra = parser.parse_known_args(args)
    if not RECIPE.is_file():
        raise FileNotFoundError(f"there is no {RECIPE} here: run the demo in the project's folder")
    recipe = OmegaConf.load(RECIPE)
    runs, prompts = options.out / "runs", options.out / "prompts.txt"
    options.out.mkdir(parents=True, exist_ok=True)
    prompts.write_text("\n".join(SENTENCES) + "\n")
    folder, seconds = runs / recipe.name, {}
    for number, (stage, (verb, purpose)) in enumerate(STAGES.items(), 1):
        print(f"\n[{number}/{len(STAGES)}] {purpose} ({stage})", flush=True)
        command = ["--config", str(RECIPE), "--config", f"configs/stage/{stage}.yaml", "--runs", str(runs),
                   "--prompts.init_args.file", str(prompts), *extra]
        start = time.perf_counter()
        if verb == "fit":
            checkpoint = folder / stage / "last.ckpt"
            if not fit_once(command, checkpoint, recipe.train[stage].max_steps, options.fresh):
                print("done before; --fresh trains it again")
                continue
        else:
            run(verb, command)
        seconds[stage] = time.perf_counter() - start
    clips = [folder / "clips" / f"{clip_name(index, text)}.json" for index, text in enumerate(SENTENCES)]
    page = write_page(options.out, folder / "vqvae" / "last.ckpt", folder / "vocoder" / "last.ckpt", clips, seconds)
    print(f"\n{sum(seconds.values()) / 60:.1f} minutes. Open {page} in a browser.")
