"""Text to condition: CLIP as published, BERT, or a small encoder that learns with the decoder."""

from diffsound.text_encoder.bert import BERTTextEncoder
from diffsound.text_encoder.clip import CLIPTextEncoder
from diffsound.text_encoder.condition import Condition, NullCondition
from diffsound.text_encoder.distilled import DistilledTextEncoder
from diffsound.text_encoder.module import TextEncoder
from diffsound.text_encoder.small import SmallTextEncoder, trained

__all__ = ["BERTTextEncoder", "CLIPTextEncoder", "Condition", "DistilledTextEncoder", "NullCondition",
           "SmallTextEncoder", "TextEncoder", "trained"]
