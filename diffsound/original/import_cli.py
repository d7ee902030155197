"""`diffsound import-original`: from the published checkpoints to a bundle."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from torch import nn

from diffsound.bundle import write_bundle
from diffsound.original.importer import Account, import_original
from diffsound.text_to_sound import TextToSound

CARD = """\
# Diffsound, the published weights

Text to sound by discrete diffusion over mel-spectrogram tokens (Diffsound, arXiv:2207.09983), converted by
`diffsound import-original` from the checkpoints of yangdongchao/Text-to-sound-Synthesis. The weights are theirs, and so
are the terms of their use.

## Use

```bash
diffsound predict --config recipes/original.yaml --config configs/stage/predict.yaml \\
    --text_to_sound.init_args.name {quoted} --prompts.init_args.file my-prompts.txt
```

```python
from diffsound import TextToSound

clip = TextToSound.from_pretrained({folder!r})("a dog barks")
```

## Sizes

{sizes}

## As in the original

{originals}

## What became of the files

The names of all that was left out are in bundle.yaml, under `left_out`, by reason.

```
{account}
```
"""
ORIGINALS = """\
- The transition has `original: true`: it shares what is redrawn among K + 1 classes and gives the mask a weight in the
  posterior, as the code did that trained these weights. The corrected process is `original: false` in bundle.yaml,
  without the decoder's `fingerprint`, which is of the settings as imported.
- The denoiser has `positions: original`: those of a row-major grid, though the tokens are time-major. The weights
  learned it so; another value does not fit them.
- The text encoder attends to padding.
- The vocoder does not fade silence (`fade_silence: false`).
- There is no null condition: guidance needs a negative prompt.
- The number of attention heads is in no tensor: {heads} was given.

## Unlike the original

- The text encoder runs in float32 where the original ran in float16.
- Mels are clamped to [0, 1] before the vocoder, which the original did not do.
- A prompt of more than {words} word pieces is refused. The original cut it, keeping the end token."""


def main(args: list[str]) -> None:
    """Convert the published checkpoints of the original Diffsound to a bundle. Nothing in the files is executed.

    Sizes are read from the tensors. Every tensor is kept, or named with the reason in the bundle, under `left_out`.
    """
    parser = argparse.ArgumentParser(prog="diffsound import-original", description=main.__doc__)
    parser.add_argument("--diffusion", required=True, type=Path, help="decoder, a .pth with 'model' and 'ema'")
    parser.add_argument("--vocoder", required=True, type=Path, help="MelGAN's generator, best_netG.pt")
    parser.add_argument("--vqvae", type=Path, help="VQ-VAE, Lightning's last.ckpt; must be the codec that is inside "
                        "--diffusion (left out: that codec is taken)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the bundle; must not exist")
    parser.add_argument("--heads", type=int, default=16, help="attention heads of the decoder, which no tensor tells "
                        "(default 16, as in all published models)")
    parser.add_argument("--no-ema", action="store_true", help="take the decoder's last weights, not their moving "
                        "average")
    options = parser.parse_args(args)
    if options.heads < 1:
        parser.error(f"--heads {options.heads}: expected at least 1")
    if options.out.exists():
        raise FileExistsError(f"--out {options.out} exists: choose another folder, or remove it")
    model, accounts = import_original(options.diffusion, options.vocoder, options.vqvae, options.heads,
                                      not options.no_ema)
    sizes, account = _sizes(model), "\n".join(line for each in accounts for line in each.lines())
    originals = ORIGINALS.format(heads=options.heads, words=model.decoder.encoder.max_tokens)
    folder = str(options.out)
    card = CARD.format(folder=folder, quoted=shlex.quote(folder), sizes="\n".join(f"- {line}" for line in sizes),
                       account=account, originals=originals)
    facts = {"origin": _origin(accounts), "ema": not options.no_ema,
             "left_out": {account.flag.removeprefix("--"): account.left_out() for account in accounts}}
    write_bundle(model, options.out, card, facts)
    print(account, *sizes, f"wrote {options.out}", sep="\n")


def _origin(accounts: list[Account]) -> dict[str, dict[str, object]]:
    return {account.flag.removeprefix("--"): {"file": account.path.name, "bytes": account.path.stat().st_size}
            for account in accounts}


def _sizes(model: TextToSound) -> list[str]:
    decoder, codec, vocoder = model.decoder, model.codec, model.vocoder
    denoiser, text = decoder.denoiser.spec["init_args"], decoder.encoder
    schedule = decoder.transition.spec["init_args"]["schedule"]["init_args"]
    generator = vocoder.generator.spec["init_args"]

    def millions(module: nn.Module) -> str:
        return f"{sum(p.numel() for p in module.parameters()) / 1e6:.3g} M"

    return [
        f"codec: {codec.codebook_size} codes of {codec.quantize.embed_dim}, {millions(codec)}",
        f"text encoder: CLIP, {text.spec['init_args']['model']['layers']} layers, {text.width} wide, {text.max_tokens} "
        f"tokens, {millions(text)}",
        f"decoder: {denoiser['layers']} layers, {denoiser['width']} wide, {denoiser['heads']} heads, "
        f"{denoiser['rows']} x {denoiser['max_columns']} tokens, {millions(decoder.denoiser)}",
        f"transition: {type(decoder.transition).__name__}, {schedule['num_timesteps']} steps, intact from "
        f"{schedule['start']:.6g} to {schedule['end']:.6g}",
        f"vocoder: MelGAN, {generator['n_mels']} bands, ratios {tuple(generator['ratios'])}, {millions(vocoder)}",
    ]
