"""Judges that turn sounds into features and classes. One interface, a file each; those that need weights say which."""

from diffsound.evaluation.extractors.base import Extractor, Heard, MissingWeights

__all__ = ["Extractor", "Heard", "MissingWeights"]
