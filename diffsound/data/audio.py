"""Audio files, on the disk or inside tar archives, to mono float32 samples, and back."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from diffsound.data import archive
from diffsound.whole_file import whole_file

if TYPE_CHECKING:
    from soundfile import SoundFile

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aif", ".aiff", ".au", ".w64", ".caf")  # what a folder may hold
WRITTEN = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"),  # what `save` can
           ".mp3": ("MP3", "MPEG_LAYER_III")}
MOST_SAMPLES = 2**28  # of all channels: 1 GB in memory, 3.4 hours at 22 050 Hz
SLOWEST, FASTEST = 1000, 1_000_000  # Hz; a header with 1 Hz would make hours of a second's samples
_BLOCK = 65536  # libsndfile's Vorbis encoder overflows its stack when it is given minutes in one call


class UnreadableAudio(ValueError):
    """A file that gives no sound. The message names the file and the reason."""


def load(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """The whole file, mixed down and resampled (soxr, HQ). `path` may lead into an archive: `shards/0.tar/dog.flac`.

    Returns:
        (N,) float32 at `sample_rate` Hz, clipped to [-1, 1]: lossy codecs and the resampler overshoot.
    Raises:
        UnreadableAudio: if the file is missing, is not audio, breaks off, holds no samples, NaN or infinity, more than
            MOST_SAMPLES (also at `sample_rate`), or has a sample rate that no recording has.
    """
    waveform, rate = _decode(Path(path))
    if len(waveform) / rate * sample_rate > MOST_SAMPLES:
        raise UnreadableAudio(f"{path}: holds {len(waveform) / rate:.0f} s, expected at most "
                              f"{MOST_SAMPLES / sample_rate:.0f} s at {sample_rate} Hz")
    return np.clip(resample(waveform, rate, sample_rate), -1, 1)


def resample(waveform: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """`waveform` (N,) at `rate` Hz as `sample_rate` Hz (soxr, HQ); itself where the two are the same."""
    import soxr

    return waveform if rate == sample_rate else soxr.resample(waveform, rate, sample_rate, quality="HQ")


def sample_rate_of(path: str | os.PathLike) -> int:
    """Hz, according to the file's header.

    Raises:
        UnreadableAudio: if the file is missing, is not audio or holds no samples.
    """
    with _opened(Path(path)) as file:
        return file.samplerate


def duration(path: str | os.PathLike) -> float:
    """Seconds of sound according to the file's header; the body may still be broken.

    Raises:
        UnreadableAudio: if the file is missing, is not audio or holds no samples.
    """
    with _opened(Path(path)) as file:
        return file.frames / file.samplerate


def fit_length(waveform: np.ndarray, num_samples: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """`waveform` (N,) as (num_samples,): zeros appended, or a crop.

    The crop is at random with `rng`, and else the start of the clip: where most recorded events begin, and the same in
    every run.
    """
    spare = len(waveform) - num_samples
    if spare <= 0:
        return np.pad(waveform, (0, -spare))
    start = 0 if rng is None else int(rng.integers(spare + 1))
    return waveform[start:start + num_samples]


def save(path: str | os.PathLike, waveform: np.ndarray, sample_rate: int) -> None:
    """Write `waveform` (N,) as wav or flac (16 bit), ogg or mp3, by the suffix; values beyond [-1, 1] are clipped.

    The file appears under its name only when it is whole.

    Raises:
        ValueError: if the suffix is another one, or the waveform is not (N,) finite numbers.
    """
    path = Path(path)
    waveform = _checked(waveform, str(path), path.suffix)
    whole_file(path, lambda partial: _encode(partial, waveform, sample_rate, path.suffix))


def encode(waveform: np.ndarray, sample_rate: int, suffix: str) -> bytes:
    """What `save` would write into a file with that suffix, such as ".flac"."""
    file, waveform = io.BytesIO(), _checked(waveform, f"sound as {suffix!r}", suffix)
    _encode(file, waveform, sample_rate, suffix)
    return file.getvalue()


def _checked(waveform: np.ndarray, name: str, suffix: str) -> np.ndarray:
    """float32 samples that can be written to `name`."""
    if suffix.lower() not in WRITTEN:
        raise ValueError(f"cannot write {name}: expected a name that ends in {', '.join(WRITTEN)}")
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise ValueError(f"cannot write {name}: expected finite samples (N,), found shape {waveform.shape}"
                         + (" with NaN or infinity" if waveform.ndim == 1 else ""))
    return waveform


def _encode(target: Path | BinaryIO, waveform: np.ndarray, sample_rate: int, suffix: str) -> None:
    import soundfile

    file_format, subtype = WRITTEN[suffix.lower()]
    with soundfile.SoundFile(target, "w", sample_rate, 1, subtype=subtype, format=file_format) as file:
        for start in range(0, len(waveform), _BLOCK):
            file.write(np.clip(waveform[start:start + _BLOCK], -1, 1))


@contextmanager
def _opened(path: Path) -> Iterator[SoundFile]:
    import soundfile

    with ExitStack() as stack:
        source, size = path, 0
        if inside := archive.locate(path):
            try:
                source = stack.enter_context(archive.open_member(*inside))
            except archive.ArchiveError as error:
                raise UnreadableAudio(f"{path}: {error}") from error
            size = source.seek(0, os.SEEK_END)
            source.seek(0)
        elif path.is_file():
            size = path.stat().st_size
        else:
            raise UnreadableAudio(f"{path}: no such file")
        if size == 0:
            raise UnreadableAudio(f"{path}: the file is empty")
        try:
            file = stack.enter_context(soundfile.SoundFile(source))
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: .raw, which does not say its sample rate
            raise UnreadableAudio(f"{path}: not audio that can be read "
                                  f"({getattr(error, 'error_string', error)})") from error
        check_header(file, path)
        yield file


def check_header(file: SoundFile, path: Path) -> None:
    """Raise UnreadableAudio if what the header says is nothing that can be read: the memory is taken by it."""
    if file.frames <= 0:
        raise UnreadableAudio(f"{path}: holds no samples")
    if (size := file.frames * file.channels) > MOST_SAMPLES:
        raise UnreadableAudio(f"{path}: holds {size} samples, expected at most {MOST_SAMPLES}: cut the recording")
    if not SLOWEST <= file.samplerate <= FASTEST:
        raise UnreadableAudio(f"{path}: has a sample rate of {file.samplerate} Hz, expected {SLOWEST} to {FASTEST}")


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """(N,) float32 mono samples at the file's own rate, and that rate."""
    import soundfile

    with _opened(path) as file:
        try:
            # In one call: soundfile seeks after each, which costs an mp3 what its decoder remembers.
            samples = file.read(dtype="float32", always_2d=True)  # (N, channels)
        except soundfile.LibsndfileError as error:
            raise UnreadableAudio(f"{path}: breaks off ({error.error_string})") from error
        rate = file.samplerate
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite samples
        waveform = sum(samples.T) / samples.shape[1]  # ten times faster than samples.mean(axis=1)
    if len(waveform) == 0:
        raise UnreadableAudio(f"{path}: holds no samples")
    if not np.isfinite(waveform).all():
        raise UnreadableAudio(f"{path}: holds NaN or infinite samples")
    return waveform, rate
