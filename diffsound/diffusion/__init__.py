"""Tokens to noise to tokens, given the text."""

from diffsound.diffusion.denoiser import Denoiser
from diffsound.diffusion.loss import CrossEntropy, VariationalBound
from diffsound.diffusion.module import DiscreteDiffusion
from diffsound.diffusion.sampler import AncestralSampler, Sampler, StridedSampler
from diffsound.diffusion.schedule import CosineSchedule, LinearSchedule, Schedule
from diffsound.diffusion.timesteps import ImportanceTimesteps, Timesteps, UniformTimesteps
from diffsound.diffusion.transition import Mask, MaskUniform, Transition, Uniform

__all__ = [
    "AncestralSampler", "CosineSchedule", "CrossEntropy", "Denoiser", "DiscreteDiffusion", "ImportanceTimesteps",
    "LinearSchedule", "Mask", "MaskUniform", "Sampler", "Schedule", "StridedSampler", "Timesteps", "Transition",
    "Uniform", "UniformTimesteps", "VariationalBound",
]
