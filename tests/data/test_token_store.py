"""What is written comes back; what is damaged is named; the folder never holds half a store."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

from diffsound.data.token_store import StoredClip, TokenStore, TokenStoreWriter
from diffsound.mel import MelSettings

CODEC = {"fingerprint": "0123456789abcdef", "mel": MelSettings(), "rows": 5, "columns": 3, "codebook_size": 65535}


def rows(count: int, start: int = 0) -> tuple[np.ndarray, list[StoredClip]]:
    rng = np.random.default_rng(start)
    clips = [StoredClip(f"clip/{i}.wav#0", [f"a sound, {i}", "лай"][: i % 3], ["Dog", "Bark"][: i % 2 + 1],
                        "val" if i % 4 == 3 else "train", f"g{i // 2}") for i in range(start, start + count)]
    return rng.integers(0, 65535, (count, 15)), clips


def write(folder, count: int = 10, start: int = 0, shard_size: int = 4, **options):
    """The tokens and clips that it wrote."""
    tokens, clips = rows(count, start)
    with TokenStoreWriter(folder, **CODEC, shard_size=shard_size, **options) as writer:
        for i in range(0, count, 3):  # batches and shards do not line up
            writer.add(tokens[i:i + 3], clips[i:i + 3])
    return tokens, clips


def contents(store: TokenStore) -> tuple[list, list]:
    return [store.tokens(i).tolist() for i in range(len(store))], [store.clip(i) for i in range(len(store))]


@pytest.mark.parametrize("shard_size", [1, 4, 10, 1000])
def test_round_trip(tmp_path, shard_size):
    tokens, clips = write(tmp_path / "tokens", shard_size=shard_size)
    store = TokenStore(tmp_path / "tokens")
    assert contents(store) == (tokens.tolist(), clips)
    assert [store.captions(i) for i in range(10)] == [clip.captions for clip in clips]
    assert (store.codec_fingerprint, store.mel, store.rows, store.columns, store.codebook_size) == tuple(CODEC.values())
    assert store.indices("val").tolist() == [3, 7]
    assert store.indices("test").tolist() == []
    assert store.splits() == {"train": 8, "val": 2}
    assert store.label_counts().tolist() == [len(clip.labels) for clip in clips]
    assert [store.labels(i) for i in range(10)] == [clip.labels for clip in clips]
    store.verify()
    assert len(list((tmp_path / "tokens").glob("tokens-*.npy"))) == -(-10 // shard_size)
    with pytest.raises(IndexError, match="row 10"):
        store.tokens(10)


def test_tokens_are_mapped_two_bytes_each_and_clips_read_when_asked_for(tmp_path):
    write(tmp_path / "tokens", shard_size=10)
    assert (tmp_path / "tokens" / "tokens-00000.npy").stat().st_size == 128 + 10 * 15 * 2
    path = tmp_path / "tokens" / "clips-00000.arrow"
    path.write_bytes(b"broken".ljust(path.stat().st_size))
    store = TokenStore(tmp_path / "tokens")
    row = store.tokens(7)
    assert row.dtype == np.uint16
    assert isinstance(row.base.base, np.memmap) or isinstance(row.base, np.memmap)
    assert not row.flags.writeable
    with pytest.raises(ValueError, match=r"clips-00000.arrow cannot be read"):
        store.captions(7)


def test_a_store_sent_to_a_worker_is_small_and_maps_its_files_again(tmp_path):
    tokens, _ = write(tmp_path / "tokens", count=2000, shard_size=2000)
    store = TokenStore(tmp_path / "tokens")
    assert len(pickle.dumps(store)) < 1000
    assert copy.copy(store).tokens(5).tolist() == tokens[5].tolist()


def test_appending_adds_shards_and_keeps_the_old_ones(tmp_path):
    first = write(tmp_path / "tokens", append=True)  # an absent store is started
    before = (tmp_path / "tokens" / "tokens-00002.npy").read_bytes()
    second = write(tmp_path / "tokens", count=5, start=10, append=True)
    store = TokenStore(tmp_path / "tokens")
    assert contents(store) == (first[0].tolist() + second[0].tolist(), first[1] + second[1])
    assert (tmp_path / "tokens" / "tokens-00002.npy").read_bytes() == before
    store.verify()


@pytest.mark.parametrize(("key", "value"), [
    ("fingerprint", "another"), ("mel", MelSettings(n_mels=64)), ("columns", 6), ("codebook_size", 256),
])
def test_appending_tokens_of_another_codec_is_refused(tmp_path, key, value):
    write(tmp_path / "tokens")
    with pytest.raises(ValueError, match="cannot append to .*tokens: its"):
        TokenStoreWriter(tmp_path / "tokens", **{**CODEC, key: value}, append=True)


def test_an_existing_store_is_replaced_only_when_asked(tmp_path):
    write(tmp_path / "tokens")
    with pytest.raises(ValueError, match="is a token store already"):
        write(tmp_path / "tokens")
    tokens, clips = write(tmp_path / "tokens", count=2, start=50, overwrite=True)
    assert contents(TokenStore(tmp_path / "tokens")) == (tokens.tolist(), clips)
    assert sorted(path.name for path in (tmp_path / "tokens").iterdir()) == [
        "clips-00000.arrow", "store.json", "tokens-00000.npy"]
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for option in ({}, {"overwrite": True}, {"append": True}):
        with pytest.raises(ValueError, match="holds files but no store.json"):
            TokenStoreWriter(tmp_path, **CODEC, **option)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("option", ["overwrite", "append"])
def test_an_exception_leaves_the_old_store_or_none(tmp_path, option):
    def fail():
        with TokenStoreWriter(tmp_path / "tokens", **CODEC, shard_size=2, **{option: True}) as writer:
            writer.add(*rows(7, start=99))
            raise RuntimeError("the codec failed")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    written = write(tmp_path / "tokens")
    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]
    assert contents(TokenStore(tmp_path / "tokens")) == (written[0].tolist(), written[1])


def test_what_a_killed_run_left_behind_does_not_get_in_the_way(tmp_path):
    TokenStoreWriter(tmp_path / "tokens", **CODEC, shard_size=1).add(*rows(3))  # never closed
    with pytest.raises(ValueError, match="is not a token store"):
        TokenStore(tmp_path / "tokens")
    tokens, clips = write(tmp_path / "tokens")
    assert contents(TokenStore(tmp_path / "tokens")) == (tokens.tolist(), clips)


def test_a_store_without_rows_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="no tokens were written"), TokenStoreWriter(tmp_path / "tokens", **CODEC):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tokens-00001.npy", "clips-00002.arrow"])
def test_one_flipped_bit_is_found_and_the_file_named(tmp_path, name):
    write(tmp_path / "tokens")
    path = tmp_path / "tokens" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"tokens is damaged, the checksum differs for {name}:"):
        TokenStore(tmp_path / "tokens").verify()


@pytest.mark.parametrize("name", ["tokens-00001.npy", "clips-00001.arrow"])
def test_a_missing_or_cut_shard_is_named_on_opening(tmp_path, name):
    write(tmp_path / "tokens")
    path = tmp_path / "tokens" / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"tokens is damaged: {name} \({size - 1} bytes, not {size}\)"):
        TokenStore(tmp_path / "tokens")
    path.unlink()
    with pytest.raises(ValueError, match=rf"{name} \(missing, not {size}\)"):
        TokenStore(tmp_path / "tokens")


def test_a_shard_of_another_kind_is_named_on_opening(tmp_path):
    write(tmp_path / "tokens")
    path = tmp_path / "tokens" / "tokens-00001.npy"
    size = path.stat().st_size
    np.save(path, np.zeros((4, 15), np.int16))
    assert path.stat().st_size == size
    with pytest.raises(ValueError, match="tokens-00001.npy holds int16"):
        TokenStore(tmp_path / "tokens")


def test_a_wrong_index_is_named(tmp_path):
    write(tmp_path / "tokens")
    path = tmp_path / "tokens" / "store.json"
    index = json.loads(path.read_text())
    for text, message in [("{", "not JSON"), (json.dumps({**index, "version": 1}), "version 1.*reads version 2"),
                          (json.dumps({"version": 2}), "lacks codec, mel, rows")]:
        path.write_text(text)
        with pytest.raises(ValueError, match=f"store.json .*{message}"):
            TokenStore(tmp_path / "tokens")


@pytest.mark.parametrize("value", [-1, 65535])
def test_a_token_that_is_no_code_is_refused(tmp_path, value):
    tokens, clips = rows(3)
    tokens[1, 4] = value
    with pytest.raises(ValueError, match=f"token {value} of clip clip/1.wav#0 is not in 0..65534"), \
            TokenStoreWriter(tmp_path / "tokens", **CODEC) as writer:
        writer.add(tokens, clips)
    with pytest.raises(ValueError, match=r"tokens of shape \(3, 14\) for 3 clips: expected \(3, 15\)"), \
            TokenStoreWriter(tmp_path / "tokens", **CODEC) as writer:
        writer.add(tokens[:, :14], clips)


def test_more_codes_than_two_bytes_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="codebook_size 65536 must be in 1..65535"):
        TokenStoreWriter(tmp_path / "tokens", **{**CODEC, "codebook_size": 65536})
