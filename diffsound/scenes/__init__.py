"""Procedural sounds, timelines and captions: the data set that needs no download."""

from diffsound.scenes.captions import all_words, caption
from diffsound.scenes.dataset import SceneDataModule, SceneDataset
from diffsound.scenes.reading import read
from diffsound.scenes.sounds import FAMILIES, MOMENTARY, SOUNDS, SUSTAINED
from diffsound.scenes.structure import AXES, Request, Structure
from diffsound.scenes.synthesis import synthesise
from diffsound.scenes.timeline import Event, Scene, make_scene, render
from diffsound.scenes.world import World

__all__ = ["AXES", "FAMILIES", "MOMENTARY", "SOUNDS", "SUSTAINED", "Event", "Request", "Scene", "SceneDataModule",
           "SceneDataset", "Structure", "World", "all_words", "caption", "make_scene", "read", "render", "synthesise"]
