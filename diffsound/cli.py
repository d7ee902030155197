"""The command `diffsound`. Imports nothing heavy, so that help and mistakes are answered at once."""

from __future__ import annotations

import importlib
import os
import sys

HELP = """\
usage: diffsound VERB [options]

Text to sound by discrete diffusion over mel-spectrogram tokens.

verbs that take a trained system (diffsound generate "rain on a roof"):
  generate   make sounds of sentences
  replay     make the clip of a sidecar again, and say whether it is the same
  serve      a page to make sounds on, in a browser, and an HTTP API

verbs that take a recipe and a stage (--config recipes/NAME.yaml --config configs/stage/STAGE.yaml):
  fit        train a stage: vqvae, vocoder, pretrain, diffusion, autoregressive, text_encoder, tagger, captioner
  validate   score a trained stage on the validation split (--ckpt_path FILE)
  test       the same on the test split
  tokenize   write the token store that the decoders train from (stage tokenize)
  predict    make a clip of every prompt (stage predict)
  generate-many  the same of a long list, on all cores or a Ray cluster (stage generate_many)

other verbs:
  manifest         list the clips of a data set folder in the file that recipes read
  label-text       the texts that pretraining makes of labels
  store            what a token store holds, whether it is whole, how fast it is read
  demo             a page of clips by the model of the package, with what a judge hears in them
  demo-train       train the whole chain on procedural scenes and make a page of its clips
  ablation         every corruption, the baseline and every sampler on the same data, budget and seeds: one table
  evaluate         score what a system makes: events, order, number; distances; captions; a page with all of it
  inside           how one sentence becomes a sound: confidence, attention to its words, a film, on one page
  bench            how long sampling, training, codec and vocoder take on this machine
  listening-test   a blind listening test on one page, and what its results say
  bundle           pack the trained system of a recipe into a folder that generate loads
  completion       print what bash, zsh or fish need to complete this command
  import-original  turn the published checkpoints of the original Diffsound into a bundle

diffsound VERB --help shows the options of a verb; diffsound fit --config ... --print_config the resolved recipe;
diffsound --version the version.
DIFFSOUND_DEBUG=1 shows the traceback of an error.
"""
RECIPE_VERBS = ("fit", "validate", "test", "tokenize", "predict", "generate-many")
OTHER_VERBS = {  # whose module has a main(args)
    "generate": "diffsound.generate", "replay": "diffsound.replay", "serve": "diffsound.app.command",
    "bundle": "diffsound.bundle_cli", "completion": "diffsound.completion",
    "manifest": "diffsound.data.manifest_cli", "label-text": "diffsound.data.label_text_cli",
    "store": "diffsound.data.store_cli", "demo": "diffsound.demo", "demo-train": "diffsound.demo_train",
    "ablation": "diffsound.ablation",
    "evaluate": "diffsound.evaluation.evaluate", "inside": "diffsound.inside.command",
    "bench": "diffsound.bench",
    "listening-test": "diffsound.listening_test.command",
    "import-original": "diffsound.original.import_cli",
}


def main(args: list[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0, 1 for an error that is explained, 2 for an unknown verb, 130
    after Ctrl-C."""
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    verb, rest = args[0], args[1:]
    if verb in ("-V", "--version"):
        from importlib.metadata import version

        print(version("diffsound"))
        return 0
    if verb not in verbs():
        print(f"diffsound: there is no verb {verb!r}; diffsound --help lists them", file=sys.stderr)
        return 2
    try:
        if verb in RECIPE_VERBS:
            from diffsound.recipe import run

            run(verb, rest)
        else:
            importlib.import_module(OTHER_VERBS[verb]).main(rest)
    except KeyboardInterrupt:
        print("diffsound: stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        if os.environ.get("DIFFSOUND_DEBUG"):
            raise
        process = f" (process {rank})" if (rank := _rank()) else ""
        print(f"diffsound{process}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if _rank() == 0 or "by peer" not in str(error):
            raise
        return 1  # process 0 has closed the connection, and says why
    return 0


def verbs() -> tuple[str, ...]:
    """All of them."""
    return (*RECIPE_VERBS, *OTHER_VERBS)


def _rank() -> int:
    """Of this process among those of torchrun, SLURM, or Lightning's own launcher."""
    return next((int(os.environ[name]) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if name in os.environ), 0)


if __name__ == "__main__":
    sys.exit(main())
