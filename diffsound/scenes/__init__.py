"""Procedural sounds, timelines and captions: the data set that needs no download."""

from diffsound.scenes.captions import all_words, caption
from diffsound.scenes.dataset import SceneDataModule, SceneDataset
from diffsound.scenes.structure import Structure, draw_structure
from diffsound.scenes.synthesis import MOMENTARY, SOUNDS, SUSTAINED, synthesise
from diffsound.scenes.timeline import Event, Scene, make_scene, render

__all__ = ["MOMENTARY", "SOUNDS", "SUSTAINED", "Event", "Scene", "SceneDataModule", "SceneDataset", "Structure",
           "all_words", "caption", "draw_structure", "make_scene", "render", "synthesise"]
