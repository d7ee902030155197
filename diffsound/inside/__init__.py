"""Looking into the diffusion decoder at work: how sure it is, in what order it decides, which words it reads."""

from diffsound.inside.attention_maps import WordAttention, attention_maps, word_attention
from diffsound.inside.film import Film, film
from diffsound.inside.pictures import save_attention, save_confidence, save_decided
from diffsound.inside.trace import Trace, look
from diffsound.inside.words import Word, words_of

__all__ = ["Film", "Trace", "Word", "WordAttention", "attention_maps", "film", "look", "save_attention",
           "save_confidence", "save_decided", "word_attention", "words_of"]
