import pytest

from diffsound.data.prompts import PromptDataModule, clip_seed, read_prompts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_blank_lines_marks_and_line_ends_do_not_matter(tmp_path, encoding, newline):
    path = tmp_path / "p.txt"
    path.write_bytes(newline.join(["", "  rain  falls ", "", "un chien aboie à côté", "\t"]).encode(encoding))
    assert read_prompts(path) == ["rain falls", "un chien aboie à côté"]


@pytest.mark.parametrize(("content", "message"), [
    (b"", "no prompts"), (b"\n \n", "no prompts"), ("rain\ncafé".encode("latin-1"), "line 2: not valid UTF-8"),
    (b"\0\1\2", "not a text file"),
])
def test_what_is_not_a_list_of_prompts_is_refused(tmp_path, content, message):
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_prompts(tmp_path / "p.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt"):
        read_prompts(tmp_path / "none.txt")


def test_each_clip_has_its_own_seed_whatever_the_batch(tmp_path):
    (tmp_path / "p.txt").write_text("rain\nwind\nsiren\n")

    def clips(batch_size):
        data = PromptDataModule(str(tmp_path / "p.txt"), seed=5, clips_per_prompt=2, batch_size=batch_size)
        data.setup("predict")
        return [clip for batch in data.predict_dataloader() for clip in zip(*batch.values(), strict=True)]

    assert clips(1) == clips(4)
    assert len({seed for _, _, seed in clips(2)}) == 6
    assert clip_seed(5, 0) != clip_seed(6, 0)


def test_a_negative_prompt_goes_with_every_clip(tmp_path):
    (tmp_path / "p.txt").write_text("rain\nwind\nsea\n")
    data = PromptDataModule(str(tmp_path / "p.txt"), batch_size=2, negative="speech")
    data.setup("predict")
    assert [batch["negative"] for batch in data.predict_dataloader()] == [["speech", "speech"], ["speech"]]
