"""The published checkpoints of Diffsound, in this package's terms."""
