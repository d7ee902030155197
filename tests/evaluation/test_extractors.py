"""What an extractor hears depends on the clip and the weights, and on nothing around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from listeners import EXTRACTORS, clap, fourier, melception, panns, scenes

from diffsound.checkpoint import fingerprint
from diffsound.data.audio import resample
from diffsound.evaluation.extractors import Extractor, MissingWeights
from diffsound.evaluation.extractors.ast import ASTExtractor
from diffsound.evaluation.extractors.clap import CLAPExtractor
from diffsound.evaluation.extractors.inception import MelceptionExtractor
from diffsound.evaluation.extractors.panns import Cnn14, PANNsExtractor
from diffsound.evaluation.extractors.tagger import TaggerExtractor

LIGHT = [name for name in EXTRACTORS if name != "melception"]  # what all share is tested with the fast ones


@pytest.fixture(scope="module")
def clips():
    sounding = [waveform[int(waveform.abs().argmax()):] for waveform in scenes(4).waveforms]  # not their silences
    return [waveform[:size] for waveform, size in zip(sounding, (12000, 15000, 15000, 12000), strict=True)]


@pytest.fixture(params=list(EXTRACTORS), scope="module")
def extractor(request, tmp_path_factory) -> Extractor:
    return EXTRACTORS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=LIGHT, scope="module")
def light(request, tmp_path_factory) -> Extractor:
    return EXTRACTORS[request.param](tmp_path_factory.mktemp(request.param))


def test_every_extractor_has_the_interface_and_tells_clips_apart(extractor, clips):
    assert isinstance(extractor, Extractor)
    heard = extractor(clips, 22050)
    assert len(heard.features) == len(clips)
    assert heard.features.isfinite().all()
    if heard.logits is not None:
        assert heard.logits.shape[0] == len(clips)
    assert (torch.cdist(heard.features, heard.features) + torch.eye(len(clips)) > 1e-6).all()


def test_neither_batch_nor_order_changes_what_is_heard(extractor, clips):
    together = extractor(clips, 22050)
    backwards = extractor(clips[::-1], 22050)
    torch.testing.assert_close(backwards.features.flip(0), together.features, atol=1e-4, rtol=1e-3)
    for row, clip in enumerate(clips):
        alone = extractor([clip], 22050)
        torch.testing.assert_close(alone.features[0], together.features[row], atol=1e-4, rtol=1e-3)
        if alone.logits is not None:
            torch.testing.assert_close(alone.logits[0], together.logits[row], atol=1e-4, rtol=1e-3)


def test_clips_of_another_rate_are_resampled_to_its_own(light, clips):
    own = [torch.from_numpy(resample(clip.numpy(), 22050, light.sample_rate)) for clip in clips[:2]]
    torch.testing.assert_close(light(clips[:2], 22050).features, light(own, light.sample_rate).features)
    if light.sample_rate != 22050:  # and not taken as they are
        assert not torch.allclose(light(clips[:2], 22050).features,
                                  light(clips[:2], light.sample_rate).features, atol=1e-5)


def test_no_clip_outweighs_the_others_in_features_of_the_judge(tmp_path, clips):
    extractor = EXTRACTORS["tagger"](tmp_path)
    extractor.network.stem[-1].weight *= 1000  # its hidden states have no bound
    features = extractor([torch.zeros(22050), torch.randn(22050), *clips], 22050).features
    assert (features.norm(dim=1) <= features.shape[1] ** 0.5 + 1e-4).all()  # else silence is all that distances tell


def test_windows_are_the_seconds_of_a_clip(light, clips):
    rate = light.sample_rate
    long = torch.from_numpy(resample(torch.cat([*clips, *clips]).numpy(), 22050, rate))[: round(2.6 * rate)]
    features, owner = light.windows([long, long[: round(2.4 * rate)], long[: rate // 5]], rate)
    assert owner.tolist() == [0, 0, 0, 1, 1, 2]  # 0.6 s left over count, 0.4 s do not, and no clip is without
    torch.testing.assert_close(features[1], light([long[rate: 2 * rate]], rate).features[0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(features[0], features[3], atol=1e-4, rtol=1e-3)
    ending = torch.cat([long[2 * rate:], torch.zeros(3 * rate - len(long))])
    torch.testing.assert_close(features[2], light([ending], rate).features[0], atol=1e-4, rtol=1e-3)


def test_a_clip_shorter_than_anything_is_heard(light):
    assert light([torch.full((10,), 0.1)], light.sample_rate).features.isfinite().all()


@pytest.mark.parametrize("name", LIGHT)
def test_the_fingerprint_is_that_of_the_weights(name, tmp_path):
    make = EXTRACTORS[name]
    first, same, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", seed=1)
    assert first.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(("make", "flag"), [
    (lambda path: TaggerExtractor(path / "no.ckpt"), "--judge"), (ASTExtractor, "--ast"), (CLAPExtractor, "--clap"),
    (lambda path: PANNsExtractor(path / "no.pth"), "--panns"),
    (lambda path: MelceptionExtractor(path / "no.pt", path / "no.txt"), "--melception"),
])
def test_missing_weights_name_the_flag_and_the_place(make, flag, tmp_path):
    with pytest.raises(MissingWeights, match=f"{tmp_path}.*{flag}") as raised:
        make(tmp_path)
    assert isinstance(raised.value, OSError)


def test_other_weights_are_refused_and_never_left_random(tmp_path):
    from transformers import ASTFeatureExtractor, ASTModel

    panns(tmp_path)
    state = torch.load(tmp_path / "cnn14.pth", weights_only=True)["model"]
    torch.save({name: value for name, value in state.items() if name != "fc1.bias"}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match="fc1.bias is missing, expected"):
        PANNsExtractor(tmp_path / "part.pth")
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth, given by --panns, is not a Cnn14"):
        PANNsExtractor(tmp_path / "other.pth")
    folder = tmp_path / "ast"
    network = EXTRACTORS["ast"](folder).network
    ASTModel(network.config).save_pretrained(folder)  # without the classes
    ASTFeatureExtractor(num_mel_bins=32, max_length=128).save_pretrained(folder)
    with pytest.raises(ValueError, match="lacks .* weights of ASTForAudioClassification, such as classifier"):
        ASTExtractor(folder)


class Trap:
    def __reduce__(self):
        return (Path("/nowhere").touch, ())


def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    torch.save({"model": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="trap.pth, given by --panns, cannot be read safely"):
        PANNsExtractor(tmp_path / "trap.pth")


def test_the_spectrogram_of_cnn14_is_a_fourier_transform():
    network = fourier(Cnn14(256, 16, (1,) * 6, 1, 1))
    waveform = scenes(1).waveforms[0][None]
    spectrum = torch.stft(waveform, 256, 80, window=torch.hann_window(256), return_complex=True, pad_mode="reflect")
    found = network.spectrogram_extractor.stft.power(waveform)
    torch.testing.assert_close(found, spectrum.abs().square().transpose(1, 2), atol=1e-3, rtol=1e-3)


def test_cnn14_has_the_names_and_sizes_of_the_published_one():
    with torch.device("meta"):
        state = Cnn14().state_dict()
    shapes = {"spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024), "logmel_extractor.melW": (513, 64),
              "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024), "bn0.running_var": (64,),
              "conv_block1.conv1.weight": (64, 1, 3, 3), "conv_block6.conv2.weight": (2048, 2048, 3, 3),
              "conv_block3.bn2.bias": (256,), "fc1.weight": (2048, 2048), "fc_audioset.weight": (527, 2048)}
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    fixed = ("running", "num_", "spectrogram_", "logmel_")
    assert sum(value.numel() for name, value in state.items() if not any(part in name for part in fixed)) == 80_753_615


def test_melception_standardises_the_mel_and_tells_logits_without_bias(tmp_path, clips):
    extractor = melception(tmp_path)
    heard = extractor(clips[:1], 22050)
    bias = extractor.network["network"].fc.bias
    torch.testing.assert_close(heard.logits - heard.unbiased, bias[None], atol=1e-4, rtol=1e-3)
    assert fingerprint(extractor.network, {"network": "Melception"}) == extractor.fingerprint
    extractor.network.mean += 0.2
    assert not torch.allclose(extractor(clips[:1], 22050).features, heard.features)
    assert fingerprint(extractor.network, {"network": "Melception"}) != extractor.fingerprint
    np.savetxt(tmp_path / "wrong.txt", np.ones((79, 2)))
    with pytest.raises(ValueError, match=r"wrong.txt, given by --melception-table, has shape \(79, 2\)"):
        MelceptionExtractor(tmp_path / "melception.pt", tmp_path / "wrong.txt")


def test_clap_puts_texts_and_clips_of_any_length_in_one_space(tmp_path, clips):
    extractor = clap(tmp_path)
    long = torch.cat(list(clips))  # longer than it hears: always the same part
    once, again = (extractor([long], 22050).features for _ in range(2))
    torch.testing.assert_close(once, again, atol=0, rtol=0)
    texts = extractor.text(["a dog barks", "rain", "a dog " * 20])
    assert texts.shape[1] == once.shape[1]
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(texts[1], extractor.text(["rain"])[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="a text for each clip, found 1 empty"):
        extractor.text(["rain", ""])
