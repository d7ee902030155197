"""`diffsound replay`: the clip of a sidecar, made again and compared."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffsound.pretrained import shipped

if TYPE_CHECKING:
    from diffsound.clip import Clip
    from diffsound.text_to_sound import TextToSound

AUDIO = (".wav", ".flac", ".ogg", ".mp3")  # looked for beside the sidecar, in this order


def parser() -> argparse.ArgumentParser:
    """The command's options; imports nothing heavy."""
    parser = argparse.ArgumentParser(prog="diffsound replay", description=main.__doc__.splitlines()[0])
    parser.add_argument("sidecar", type=Path, metavar="CLIP.json", help="as generate or predict wrote it")
    parser.add_argument("--model", metavar="NAME",
                        help="of the bundle, a folder, or a hub id owner/name (default: what the sidecar names, if it "
                             "is in the package)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the sound: .wav, .flac, .ogg or .mp3")
    parser.add_argument("--from-tokens", action="store_true",
                        help="make the sound of the stored tokens, as any machine can, instead of drawing them again")
    return parser


def main(args: list[str]) -> None:
    """Make the clip of a sidecar again, and say whether it is the same.

    It is, to the last bit, if bundle, versions, device and number of threads are; that number is set as the sidecar has
    it. An audio file beside the sidecar is compared too.

    Raises:
        ValueError: if the sidecar is none, or the clip cannot be made again; the message says what differs.
    """
    options = parser().parse_args(args)
    print(f"loading {options.sidecar}", file=sys.stderr, flush=True)
    import torch

    from diffsound.sidecar import machine, read_sidecar
    from diffsound.text_to_sound import TextToSound, checked_device

    sidecar = read_sidecar(options.sidecar)
    name, device = bundle_name(sidecar, options.model), "cpu" if options.from_tokens else sidecar["device"]
    try:
        checked_device(device)
    except ValueError as error:
        raise ValueError(f"the clip's {error}; --from-tokens makes the sound of its tokens") from error
    model = TextToSound.from_pretrained(name, options.revision, device)
    torch.set_num_threads(sidecar["threads"])
    clip = from_tokens(model, sidecar) if options.from_tokens else again(model, sidecar)
    reasons = differences(sidecar, model.fingerprints, machine(model.device))
    others = [] if options.from_tokens else other_values(clip, sidecar)
    if others:
        raise ValueError(f"{options.sidecar}: it is not the same clip: {' and '.join(others)}. "
                         f"{'What differs: ' + '; '.join(reasons) if reasons else 'Nothing that is known differs'}. "
                         "--from-tokens makes the sound of its tokens")
    if options.out is not None:
        clip.save(options.out, sidecar["loudness"] and sidecar["loudness"]["lufs"])
        print(options.out)
    if (audio := beside(options.sidecar)) and (fault := audio_difference(clip, sidecar, audio)):
        if not options.from_tokens:
            raise ValueError(f"{options.sidecar}: the clip is made again, but {audio.name} is not that sound: {fault}")
        reasons = [f"{audio.name}: {fault}", *reasons]
    what = f"{len(clip.waveform)} samples of {len(sidecar['tokens'])} tokens"
    same = clip.sidecar["sha256"] == sidecar["sha256"]
    print(f"{'the same' if same else 'other'} {what}{', bit for bit' if same else ''}"
          + (f" ({'; '.join(reasons)})" if reasons else ""))


def bundle_name(sidecar: dict[str, Any], given: str | None) -> str:
    """Which bundle to load. A sidecar, which anybody may have written, can name none but the package's.

    Raises:
        ValueError: if none is given, and the sidecar's own is not in the package.
    """
    if given is not None:
        return given
    own = sidecar["bundle"] or {"name": None, "revision": None}
    if own["name"] in shipped():
        return own["name"]
    made = "checkpoints, not a bundle" if own["name"] is None else f"the bundle {own['name']!r}" + (
        f" at revision {own['revision']!r}" if own["revision"] else "")
    raise ValueError(f"the clip was made by {made}, which is not in the package: give the bundle with --model")


def again(model: TextToSound, sidecar: dict[str, Any], on_step: Callable[[int, int], None] | None = None) -> Clip:
    """The clip, its tokens drawn anew; `on_step` as a call of the model takes it.

    Raises:
        ValueError: if the bundle is another one, or does not take what the sidecar says.
    """
    from diffsound.sidecar import sampler_of

    if others := other_parts(sidecar, model.fingerprints):
        raise ValueError(f"the clip was made by another bundle ({'; '.join(others)}): give that one with --model, or "
                         "--from-tokens if the codec is the same")
    try:
        return model(sidecar["text"], sidecar["seed"], sidecar["negative"], sampler=sampler_of(sidecar),
                     duration=sidecar["grid"]["columns"] * model.column_seconds, on_step=on_step)
    except TypeError as error:  # of a setting of the sampler that is of another kind
        raise ValueError(f"the sidecar's sampler does not fit: {error}") from error


def from_tokens(model: TextToSound, sidecar: dict[str, Any]) -> Clip:
    """The clip of the stored tokens, by codec and vocoder alone.

    Raises:
        ValueError: if the tokens are of another codec.
    """
    import torch

    if others := other_parts(sidecar, model.fingerprints, ("codec",)):
        raise ValueError(f"the tokens are of another codec ({'; '.join(others)}): give that bundle with --model")
    if (rows := sidecar["grid"]["rows"]) != model.decoder.rows:
        raise ValueError(f"the sidecar's grid has {rows} rows, the bundle's {model.decoder.rows}")
    parts = sidecar["parts"] | {"vocoder": model.fingerprints["vocoder"]}
    return model.render(torch.tensor(sidecar["tokens"]), sidecar | {"parts": parts})


def other_parts(sidecar: dict[str, Any], fingerprints: dict[str, str],
                names: tuple[str, ...] = ("decoder", "codec", "vocoder", "text_encoder")) -> list[str]:
    """What to say of parts that are not the bundle's."""
    pairs = {name: (sidecar["parts"].get(name), fingerprints.get(name)) for name in names}
    return [f"{name} {then!r} in the sidecar, {here!r} in the bundle" for name, (then, here) in pairs.items()
            if then != here]


def differences(sidecar: dict[str, Any], fingerprints: dict[str, str], now: dict[str, Any]) -> list[str]:
    """What was not as it is here when the clip was made, of all that its last bits can depend on."""
    pairs = {**{name: (sidecar["versions"][name], here) for name, here in now["versions"].items()},
             **{name: (sidecar[name], now[name]) for name in ("device", "hardware", "threads")}}
    return other_parts(sidecar, fingerprints) + [
        f"{name} {then!r} in the sidecar, {here!r} here" for name, (then, here) in pairs.items() if then != here]


def other_values(clip: Clip, sidecar: dict[str, Any]) -> list[str]:
    """How `clip` differs from what the sidecar says of it."""
    number = sum(own != told for own, told in zip(clip.tokens.tolist(), sidecar["tokens"], strict=True))
    found = [f"{number} of {len(sidecar['tokens'])} tokens are others"] if number else []
    return found + (["the samples are others"] if clip.sidecar["sha256"] != sidecar["sha256"] else [])


def beside(sidecar: Path) -> Path | None:
    """The audio file of a sidecar, if it is there."""
    return next((file for suffix in AUDIO if (file := sidecar.with_suffix(suffix)).is_file()), None)


def audio_difference(clip: Clip, sidecar: dict[str, Any], audio: Path) -> str:
    """How the file `audio` differs from `clip`, written as it was; "" if not in one sample."""
    import numpy as np
    import soundfile

    from diffsound.data.audio import UnreadableAudio, check_header, encode

    gain = sidecar["loudness"]["gain_db"] if sidecar["loudness"] else 0.0
    data = io.BytesIO(encode(clip.amplified(gain).numpy(), clip.sample_rate, audio.suffix))
    try:
        with soundfile.SoundFile(audio) as file:
            check_header(file, audio)
        (own, own_rate), (other, rate) = (soundfile.read(source, dtype="float32") for source in (data, audio))
    except soundfile.LibsndfileError as error:
        raise UnreadableAudio(f"{audio}: not audio that can be read ({error.error_string})") from error
    if (rate, other.shape) != (own_rate, own.shape):
        return f"it has the shape {other.shape} at {rate} Hz, expected {own.shape} at {own_rate} Hz"
    largest = float(np.abs(own - other).max())
    return f"it differs by up to {largest:.2g} of full scale" if largest else ""
