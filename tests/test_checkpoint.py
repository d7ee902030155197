import pickle

import pytest
import torch
from torch import nn

from diffsound.checkpoint import Checkpointed, Rebuildable, fingerprint, load_module, read_checkpoint, rebuild
from diffsound.diffusion import LinearSchedule, MaskUniform
from diffsound.mel import MelSettings


class Inner(Rebuildable, nn.Module):
    def __init__(self, width: int = 3, names: tuple[str, ...] = ("a",)) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)


class Outer(Checkpointed, nn.Module):
    def __init__(self, inner: Inner, mel: MelSettings | dict, rate: float = 0.5) -> None:
        super().__init__()
        self.inner, self.rate = inner, rate


class Other(Checkpointed, nn.Module):
    def __init__(self) -> None:
        super().__init__()


def saved(module, path):
    checkpoint = {"state_dict": module.state_dict(), "global_step": 7}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path


def test_a_module_comes_back_from_its_file_alone(tmp_path):
    module = Outer(Inner(width=5), MelSettings(n_mels=64), rate=0.25)
    module.facts = {"codec": "abc"}
    again = Outer.from_checkpoint(saved(module, tmp_path / "a.ckpt"))
    assert again.spec == module.spec
    assert again.rate == 0.25
    assert again.facts == {"codec": "abc", "steps": 7}
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    torch.testing.assert_close(again.inner.layer.weight, module.inner.layer.weight)


def test_defaults_and_nested_parts_are_in_the_spec():
    spec = MaskUniform(4, LinearSchedule(3)).spec
    assert spec["class_path"] == "diffsound.diffusion.MaskUniform"
    assert spec["init_args"]["mask_fraction"] == 0.9
    assert spec["init_args"]["schedule"]["init_args"]["num_timesteps"] == 3
    torch.testing.assert_close(rebuild(spec).bar, MaskUniform(4, LinearSchedule(3)).bar)


def test_fingerprint_changes_with_weights_and_arguments():
    torch.manual_seed(0)
    a = Inner()
    b = Inner()
    b.load_state_dict(a.state_dict())
    assert fingerprint(a) == fingerprint(b)
    with torch.no_grad():
        b.layer.bias[0] += 1e-6
    assert fingerprint(a) != fingerprint(b)
    c = Inner(names=("b",))
    c.load_state_dict(a.state_dict())
    assert fingerprint(a) != fingerprint(c)


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(("write", "message"), [
    (lambda path: path.write_bytes(b"not a checkpoint"), "not a checkpoint"),
    (lambda path: path.write_bytes(pickle.dumps(Evil())), "read safely"),
    (lambda path: torch.save({"state_dict": {"a": Evil()}}, path), "read safely"),
    (lambda path: torch.save({"weights": torch.zeros(1)}, path), "'spec' and 'state_dict'"),
    (lambda path: path.write_bytes(b""), "not a checkpoint"),
])
def test_a_file_of_another_kind_is_refused(tmp_path, write, message, capsys):
    write(tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "x.ckpt")
    assert "run" not in capsys.readouterr().out


def test_half_a_file_is_refused(tmp_path):
    path = saved(Outer(Inner(), MelSettings()), tmp_path / "a.ckpt")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_checkpoint(path)


def test_another_module_is_named(tmp_path):
    path = saved(Outer(Inner(), MelSettings()), tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="checkpoint of Outer, not of Other"):
        Other.from_checkpoint(path)
    with pytest.raises(ValueError, match="written by .*Outer.* but the recipe trains .*Other"):
        Other().on_load_checkpoint(read_checkpoint(path))
    with pytest.raises(FileNotFoundError, match=r"b\.ckpt"):
        load_module(tmp_path / "b.ckpt")


def test_another_size_is_named(tmp_path):
    path = saved(Outer(Inner(width=5), MelSettings()), tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"inner\.layer\.weight is \(2, 5\) in the checkpoint and \(2, 3\)"):
        Outer(Inner(width=3), MelSettings()).on_load_checkpoint(read_checkpoint(path))


def test_a_class_outside_the_table_is_not_imported():
    with pytest.raises(ValueError, match=r"os\.system"):
        rebuild({"class_path": "os.system", "init_args": {"command": "true"}})


def test_arguments_that_are_not_data_are_refused():
    with pytest.raises(TypeError, match="cannot be written"):
        Inner(width=torch.zeros(3))


def test_a_checkpoint_of_another_version_is_named_as_such():
    from diffsound.text_encoder import SmallTextEncoder

    spec = SmallTextEncoder(width=16).spec
    spec["init_args"]["heads"] = 4
    with pytest.raises(ValueError, match=r"SmallTextEncoder does not take \['heads'\].*train again"):
        rebuild(spec)
