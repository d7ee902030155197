"""Tokens to noise to tokens, given the text."""

from diffsound.diffusion.denoiser import Denoiser
from diffsound.diffusion.loss import CrossEntropy, VariationalBound
from diffsound.diffusion.module import DiscreteDiffusion
from diffsound.diffusion.sampler import AncestralSampler, RemaskingSampler, Sampler, StridedSampler
from diffsound.diffusion.schedule import CosineSchedule, LinearSchedule, Schedule
from diffsound.diffusion.timesteps import ImportanceTimesteps, Timesteps, UniformTimesteps
from diffsound.diffusion.transition import Mask, MaskUniform, Transition, Uniform
from diffsound.diffusion.unmasking import ConfidenceSampler, FirstHittingSampler, PuritySampler

__all__ = [
    "AncestralSampler", "ConfidenceSampler", "CosineSchedule", "CrossEntropy", "Denoiser", "DiscreteDiffusion",
    "FirstHittingSampler", "ImportanceTimesteps", "LinearSchedule", "Mask", "MaskUniform", "PuritySampler",
    "RemaskingSampler", "Sampler", "Schedule", "StridedSampler", "Timesteps", "Transition", "Uniform",
    "UniformTimesteps", "VariationalBound",
]
