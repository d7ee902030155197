"""Small extractors with random weights, and scenes for them to hear."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from diffsound.evaluation import EventTagger
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.extractors.ast import ASTExtractor
from diffsound.evaluation.extractors.clap import CLAPExtractor
from diffsound.evaluation.extractors.inception import Melception, MelceptionExtractor
from diffsound.evaluation.extractors.panns import Cnn14, PANNsExtractor
from diffsound.evaluation.extractors.tagger import TaggerExtractor
from diffsound.mel import MelSettings
from diffsound.scenes.dataset import SceneDataset


def scenes(number: int, start: int = 0, name: str = "made", seconds: float = 2.0) -> ClipSet:
    items = [SceneDataset(number, round(seconds * 22050), start=start)[row] for row in range(number)]
    return ClipSet(name, [item["waveform"] for item in items], 22050, [item["text"] for item in items],
                   [f"{row:03d}" for row in range(number)])


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """With weights that do not let what is heard fade from layer to layer."""
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    return network


def tagger(folder: Path, seed: int = 0) -> TaggerExtractor:
    torch.manual_seed(seed)
    return TaggerExtractor(EventTagger(MelSettings(), classes=["dog", "rain", "bell"], channels=16, blocks=1))


def ast(folder: Path, seed: int = 0) -> ASTExtractor:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(seed)
    config = ASTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=128,
                       num_mel_bins=32, num_labels=5)
    lively(ASTForAudioClassification(config)).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=128).save_pretrained(folder)
    return ASTExtractor(folder)


def clap(folder: Path, seed: int = 0) -> CLAPExtractor:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    text = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 12, "projection_dim": 32}
    audio = {"spec_size": 64, "num_mel_bins": 32, "patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1],
             "num_attention_heads": [2, 2], "num_hidden_layers": 2, "window_size": 4, "projection_dim": 32,
             "num_classes": 4}
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=32)
    lively(ClapModel(config)).save_pretrained(folder)
    ClapFeatureExtractor(feature_size=32, sampling_rate=16000, hop_length=160, max_length_s=1, fft_window_size=512,
                         frequency_max=8000, truncation="rand_trunc").save_pretrained(folder)
    words = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "a", "dog", "barks", "rain"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    return CLAPExtractor(folder)


def fourier(network: Cnn14) -> Cnn14:
    """With the kernels that a checkpoint holds, written out from their definition."""
    n = network.spectrogram_extractor.stft.window
    angle = 2 * math.pi * torch.outer(torch.arange(n // 2 + 1), torch.arange(n)) / n
    stft = network.spectrogram_extractor.stft
    stft.conv_real.weight.data = (angle.cos() * torch.hann_window(n))[:, None]
    stft.conv_imag.weight.data = (-angle.sin() * torch.hann_window(n))[:, None]
    torch.nn.init.uniform_(network.logmel_extractor.melW)
    return network


def panns(folder: Path, seed: int = 0) -> PANNsExtractor:
    torch.manual_seed(seed)
    network = fourier(lively(Cnn14(256, 32, (4, 4, 6, 6, 8, 8), 10, 5)))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"iteration": 7, "model": network.state_dict()}, folder / "cnn14.pth")
    return PANNsExtractor(folder / "cnn14.pth")


def melception(folder: Path, seed: int = 0) -> MelceptionExtractor:
    torch.manual_seed(seed)
    network = lively(Melception(7))
    network.AuxLogits = None
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network.state_dict()}, folder / "melception.pt")
    np.savetxt(folder / "table.txt", np.stack([np.full(80, 0.4), np.full(80, 0.2)], 1))
    return MelceptionExtractor(folder / "melception.pt", folder / "table.txt")


EXTRACTORS: dict[str, Callable] = {"tagger": tagger, "ast": ast, "clap": clap, "panns": panns, "melception": melception}
