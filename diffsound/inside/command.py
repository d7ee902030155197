"""`diffsound inside`: everything that can be seen of one clip on its way, on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from diffsound.generate import MODEL
from diffsound.inside.attention_maps import word_attention
from diffsound.inside.film import film
from diffsound.inside.page import write_page
from diffsound.inside.pictures import save_attention, save_confidence, save_decided
from diffsound.inside.trace import diffusion_of, look
from diffsound.recipe import build_part, changed_recipe
from diffsound.text_to_sound import TextToSound, checked_device


def main(args: list[str]) -> None:
    """Show how one sentence becomes a sound: confidence, order of decisions, attention to the words, and a film.

    Writes OUT/index.html, confidence.png, decided.png, attention.png, film.gif, frames/ and sounds/.
    """
    parser = argparse.ArgumentParser(
        prog="diffsound inside", description=main.__doc__.splitlines()[0],
        epilog="Other options, such as --runs out/demo-train/runs or --config FILE, change the recipe first.")
    parser.add_argument("--model", default=MODEL, metavar="NAME",
                        help="of a bundle, a folder, or a hub id; its decoder must be of diffusion")
    parser.add_argument("--recipe", type=Path, help="names the system instead, by its text_to_sound")
    parser.add_argument("--text", required=True, help="what should be heard")
    parser.add_argument("--negative", help="what should not be heard, for a sampler with guidance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=12, help="of the film, at most the steps of the sampler and one")
    parser.add_argument("--sounds", type=int, default=4, help="of the frames, to hear; at most one each")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu",
                        help="cpu, cuda, cuda:1 (default: cuda if there is one, else cpu)")
    parser.add_argument("--out", type=Path, default=Path("out/inside"), help="folder of the page and its files")
    options, extra = parser.parse_known_args(args)
    if options.recipe is not None:
        model = build_part(changed_recipe(options.recipe, extra), "text_to_sound")
    elif extra:
        parser.error(f"unknown {' '.join(extra)}; options that change a recipe need --recipe")
    else:
        model = TextToSound.from_pretrained(options.model)
    diffusion_of(model)  # before anything is made or written
    model = model.to(checked_device(options.device))
    trace, out = look(model, options.text, options.seed, options.negative), options.out
    made = film(model, trace, out, options.frames, options.sounds)
    save_confidence(out / "confidence.png", trace)
    save_decided(out / "decided.png", trace)
    save_attention(out / "attention.png", trace, word_attention(model, trace))
    page = write_page(out, trace, made, model.sampler.spec)
    print(f"Open {page} in a browser.")
