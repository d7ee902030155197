"""All classes of sound, a file for each family."""

from diffsound.scenes.sounds import (  # noqa: F401  (each enters its sounds in the table)
    alarms,
    animals,
    electronic,
    household,
    human,
    impacts,
    tools,
    vehicles,
    water,
    weather,
)
from diffsound.scenes.sounds.sound import SOUNDS, Sound, Words

FAMILIES = tuple(dict.fromkeys(sound.family for sound in SOUNDS.values()))
MOMENTARY = tuple(name for name, sound in SOUNDS.items() if sound.momentary)
SUSTAINED = tuple(name for name, sound in SOUNDS.items() if not sound.momentary)

__all__ = ["FAMILIES", "MOMENTARY", "SOUNDS", "SUSTAINED", "Sound", "Words"]
