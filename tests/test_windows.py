"""Windows of stored rows: how much is read at once, in which order and how often; written codes."""

import h5py
import numpy as np
import pandas as pd
import pytest
from in_storage import HOLES, Array, Blocks, X, estimator, in_hdf5, with_tiny_blocks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skae._data import rows as rows_module
from skae._data import stored
from skae._data.rows import Rows
from skae._data.sources import source_of
from skae._data.stored import AllBut, Stored, n_below


@pytest.fixture
def tiny(monkeypatch):
    with_tiny_blocks(monkeypatch)


@pytest.fixture(scope="module")
def fitted():
    return estimator().fit(X)


@pytest.mark.parametrize("shuffle", [False, True])
def test_no_more_than_a_few_blocks_are_read_at_once(shuffle, tiny, monkeypatch):
    rows = Array(X)
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 20 * X[0].nbytes)
    monkeypatch.setattr(rows_module, "SAMPLE_BYTES", 0)
    monkeypatch.setattr(rows_module, "ORDERED_ROWS", 50)
    estimator(shuffle=shuffle).fit(rows).transform_into(rows, np.empty((700, 2)))
    assert 0 < rows.most <= 160  # eight blocks, in the first pass


def test_few_rows_are_read_at_once():
    rows = Array(X)
    assert_array_equal(estimator().fit(rows).weights_[0], estimator().fit(X).weights_[0])
    assert rows.most == len(X)


@pytest.mark.parametrize("seeks", [True, False])
@pytest.mark.parametrize("view", ["all", "all but a few", "some"])
def test_an_epoch_has_every_row_once(seeks, view, tiny):
    source = source_of(Array(X) if seeks else Blocks(*np.array_split(X, 9)))
    rows = Rows(Stored(source, True))
    positions = {
        "all": np.arange(700),
        "all but a few": AllBut(np.array([0, 1, 40, 399, 699]), 700)[:],
        "some": np.arange(0, 700, 3),
    }[view]
    if view == "all but a few":
        rows = rows._view(AllBut(np.array([0, 1, 40, 399, 699]), 700))
    if view == "some":
        rows = rows._view(positions)
    parts = [*rows.order(np.random.default_rng(0))]
    assert max(map(len, parts)) <= 100
    order = np.concatenate(parts)
    assert_array_equal(np.sort(order), np.arange(len(positions)))
    assert not np.array_equal(order, np.sort(order))
    out = np.empty((len(positions), 12), "float32")
    for begin in range(0, len(order), 64):
        chosen = order[begin : begin + 64]
        rows.gather(out[: len(chosen)], chosen)
        assert_array_equal(out[: len(chosen)], X[positions[chosen]])
    # Rows that lie far from each other are shuffled together only where reading them is as fast.
    spread = np.ptp(positions[parts[0]])
    assert spread > 200 if seeks else spread <= 110


def test_a_window_is_read_once(tiny):
    rows = Rows(Stored(source_of(Array(X)), True))
    blocks = []
    read = rows.X._read
    rows.X._read = lambda begin, end: blocks.append(begin) or read(begin, end)
    out = np.empty((70, 12), "float32")
    order = np.concatenate([*rows.order(np.random.default_rng(0))])
    for begin in range(0, 700, 70):  # some of these end in the next window
        rows.gather(out, order[begin : begin + 70])
    assert sorted(blocks) == [*range(0, 700, 20)]


def test_all_but_a_few_numbers():
    few = np.array([0, 3, 4, 9])
    rest = AllBut(few, 10)
    assert len(rest) == 6
    assert_array_equal(rest[:], [1, 2, 5, 6, 7, 8])
    assert_array_equal(rest[1:3], [2, 5])
    assert_array_equal(rest[np.array([5, 0])], [8, 1])
    assert_array_equal(n_below(rest, np.array([0, 1, 5, 10])), [0, 0, 2, 6])
    assert_array_equal(n_below(rest[:], np.array([0, 1, 5, 10])), [0, 0, 2, 6])


def test_the_same_rows_of_many_are_held_out(monkeypatch):
    """Only the smallest hashes are kept of many rows."""
    many = Rows(np.random.default_rng(0).normal(size=(4000, 3)))
    both = []
    for limit in (4000, 100):
        monkeypatch.setattr(rows_module, "MANY_ROWS", limit)
        both.append(many.splits(0.01, 2, np.random.default_rng(1)))
    for one, other in zip(*both, strict=True):
        assert_array_equal(one[1].X, other[1].X)
        assert len(one[0]) == len(other[0]) == 3960


def test_copies_of_few_rows_are_held_out_of_many(monkeypatch):
    monkeypatch.setattr(rows_module, "MANY_ROWS", 100)
    many = Rows(np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 100, axis=0))
    rest, held, _ = many.splits(0.1, 1, np.random.default_rng(1))[0]
    assert len(held) == 200
    assert not set(map(bytes, held.X)) & set(map(bytes, rest.X[rest.chosen[:]]))


def test_codes_are_written_into_arrays(tiny, tmp_path, fitted):
    codes = fitted.transform(X)
    rows = in_hdf5(X, tmp_path)
    arrays = [
        np.empty((700, 2)),
        h5py.File(tmp_path / "codes.h5", "w").create_dataset("codes", (700, 2), "float32"),
        np.lib.format.open_memmap(tmp_path / "map.npy", "w+", "float32", (700, 2)),
    ]
    for out in arrays:
        assert fitted.transform_into(rows, out) is out
        assert_allclose(out[:], codes, rtol=0, atol=1e-6)
    assert_allclose(fitted.transform_into(sparse.csr_array(X), arrays[0]), codes, atol=1e-5)


def test_codes_are_written_into_files(tiny, tmp_path, fitted):
    rows = in_hdf5(X, tmp_path)
    assert fitted.transform_into(rows, tmp_path / "codes.npy") == tmp_path / "codes.npy"
    assert_allclose(np.load(tmp_path / "codes.npy"), fitted.transform(X), atol=1e-6)
    path = fitted.transform_into(rows, str(tmp_path / "codes.parquet"))
    frame = pd.read_parquet(path)
    assert list(frame.columns) == ["autoencodertransformer0", "autoencodertransformer1"]
    assert_allclose(frame.to_numpy(), fitted.transform(X), atol=1e-6)


def test_a_file_stays_as_it_was_if_encoding_fails(tiny, tmp_path, fitted):
    path = tmp_path / "codes.npy"
    path.write_bytes(b"before")
    broken = Blocks(X[:300], np.full((400, 12), np.inf, "float32"))
    with pytest.raises(ValueError, match="Input X contains infinity"):
        fitted.transform_into(broken, path)
    assert path.read_bytes() == b"before"
    assert {file.name for file in tmp_path.iterdir()} == {"codes.npy"}


@pytest.mark.parametrize(
    ("out", "match"),
    [
        (np.empty((700, 3)), r"out must be an array of shape \(700, 2\).*of shape \(700, 3\)"),
        (None, r"out must be an array of shape \(700, 2\).*NoneType"),
        ("codes.csv", r"ends in \.npy or \.parquet. Got 'codes.csv'"),
    ],
)
def test_where_codes_can_not_be_written(out, match, fitted):
    with pytest.raises(ValueError, match=match):
        fitted.transform_into(X, out)


def test_shuffling_changes_the_order_alone():
    """Without shuffling, rows that come last are trained on last, whatever the seed."""
    one, other = (
        estimator(early_stopping=False, init="pca", random_state=seed).fit(X) for seed in (0, 1)
    )
    assert_array_equal(one.weights_[0].shape, other.weights_[0].shape)
    first, again = (estimator(early_stopping=False, shuffle=flag).fit(X) for flag in (False, True))
    assert np.abs(first.weights_[0] - again.weights_[0]).max() > 1e-4


@pytest.mark.parametrize("seeks", [True, False])
def test_a_sample_is_kept_from_a_pass_over_all_rows(seeks, tiny):
    rows = Rows(Stored(source_of(Array(X) if seeks else Blocks(*np.array_split(X, 9))), True))
    expected = Rows(X).sample(50, 3)
    rows.expect(50, 3)
    assert sum(len(block) for block, _ in rows.blocks()) == 700
    rows.X.source.read = None  # no row is read again
    for _ in range(2):
        assert_array_equal(rows.sample(50, 3).X, expected.X)


def test_a_sample_is_kept_while_others_are_taken(tiny, monkeypatch):
    monkeypatch.setattr(stored, "KEPT_BYTES", 0)
    rows = Rows(Stored(source_of(Blocks(*np.array_split(X, 9))), True))
    rows.expect(50, 3)
    assert_array_equal(rows.take(np.array([5, 6, 300])).X, X[[5, 6, 300]])
    read = rows.X.source.read
    rows.X.source.read = None
    assert_array_equal(rows.sample(50, 3).X, Rows(X).sample(50, 3).X)
    rows.X.source.read = read  # it is large, so it is read again
    assert_array_equal(rows.sample(50, 3).X, Rows(X).sample(50, 3).X)


class Counted(Blocks):
    """Blocks that count how often they are read."""

    passes = 0

    def __iter__(self):
        for block in self.blocks:
            self.passes += len(block) / len(X)
            yield block


@pytest.mark.parametrize(("rows", "most"), [(X, 10), (HOLES, 14)], ids=["complete", "holes"])
def test_there_are_few_passes_over_all_rows(rows, most, tiny, monkeypatch):
    """Blocks that lie in two parts are not read from the start for each use of them."""
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 20 * X[0].nbytes)
    monkeypatch.setattr("skae._fitting.fit.ORDER_ROWS", 100)
    monkeypatch.setattr("skae._fitting.findings.FOUND_ROWS", 100)
    monkeypatch.setattr("skae._fitting.baselines.SAMPLE_ROWS", 200)
    blocks = Counted(*np.array_split(rows, 9))
    estimator(epochs=1, early_stopping=False).fit(blocks)
    assert 1 < blocks.passes < most
