import numpy as np
import pytest

from retrieval.vector.snapshot import read_snapshot, write_snapshot


def sample(count=50, dim=3):
    return np.arange(count, dtype=np.int64) * 7, np.arange(count * dim, dtype=np.float32).reshape(count, dim)


def test_rows_come_back_bit_for_bit_and_in_order(tmp_path):
    keys, rows = sample(20_000)  # more than one batch
    write_snapshot(tmp_path / "s", 3, [(keys[:30], rows[:30]), (keys[30:], rows[30:])])
    batches = list(read_snapshot(tmp_path / "s", 3))
    assert len(batches) > 1
    assert (np.concatenate([part for part, _ in batches]) == keys).all()
    assert (np.concatenate([part for _, part in batches]) == rows).all()


def test_every_single_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "s"
    write_snapshot(path, 3, [sample(4)])
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="ebuild"):
            list(read_snapshot(path, 3))


def test_every_truncation_and_any_addition_is_noticed(tmp_path):
    path = tmp_path / "s"
    write_snapshot(path, 3, [sample(4)])
    whole = path.read_bytes()
    for content in [whole[:end] for end in range(len(whole))] + [whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="ebuild"):
            list(read_snapshot(path, 3))


def test_the_message_names_both_dimensions(tmp_path):
    write_snapshot(tmp_path / "s", 3, [sample(4)])
    with pytest.raises(ValueError, match="3 dimensions, the index 5"):
        list(read_snapshot(tmp_path / "s", 5))


def test_a_directory_in_place_of_the_file_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        list(read_snapshot(tmp_path, 3))


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_snapshot(tmp_path / name, 3, [sample()])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
