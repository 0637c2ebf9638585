"""Randomness: published vectors, an own computation of each definition, and statistics that can fail."""

from __future__ import annotations

import hashlib
import hmac
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedrec import randomness
from fedrec.errors import PrivacyError

KEY = bytes(range(32))
LABELS = st.lists(st.one_of(st.text(max_size=8), st.integers(-(10**20), 10**20)), max_size=4)


def test_prf_is_aes_256_of_the_block() -> None:
    # FIPS 197, appendix C.3.
    a = np.array([int.from_bytes(bytes.fromhex("0011223344556677"), "little")], dtype=np.uint64)
    b = np.array([int.from_bytes(bytes.fromhex("8899aabbccddeeff"), "little")], dtype=np.uint64)
    expected = int.from_bytes(bytes.fromhex("8ea2b7ca516745bf"), "little")
    assert randomness.prf_uint64(KEY, a, b).tolist() == [expected]


def test_keystream_is_aes_256_counter_mode_from_zero() -> None:
    # AES-256 of the numbers 0 and 1 under the zero key; the second is the tag of test case 13 of the GCM paper.
    blocks = "dc95c078a2408989ad48a21492842087" + "530f8afbc74536b9a963b4f1c4cb738b"
    assert randomness.keystream(bytes(32), 32).hex() == blocks
    assert randomness.keystream(bytes(32), 5).hex() == blocks[:10]
    assert randomness.keystream(bytes(32), 0) == b""


def test_key_is_hkdf_of_seed_and_labels() -> None:
    labels = b"s" + (5).to_bytes(4, "big") + b"noise" + b"i" + (2).to_bytes(4, "big") + b"-7"
    assert randomness.encode_labels("noise", -7) == labels
    secret = hmac.digest(b"fedrec simulation key, version 1", (42).to_bytes(32, "little"), "sha256")
    assert randomness.key(42, "noise", -7) == hmac.digest(secret, labels + b"\x01", "sha256")


def test_definitions_are_pinned_across_versions() -> None:
    assert randomness.key(0, "a", 1).hex() == "b2d5039a4db4dc3d25d3dd031fb28e96506d1d56e413cc7331b3ed2b44a7167e"
    assert randomness.user_hash("é") == int.from_bytes(hashlib.sha256("fedrec useré".encode()).digest()[:8], "little")
    assert randomness.user_hash("é") == 3796351201182414625


@given(LABELS, LABELS)
def test_label_encoding_is_injective(a: list[str | int], b: list[str | int]) -> None:
    same = len(a) == len(b) and all(type(x) is type(y) and x == y for x, y in zip(a, b, strict=True))
    assert (randomness.encode_labels(*a) == randomness.encode_labels(*b)) == same


def test_labels_and_seeds_separate_keys() -> None:
    keys = {
        randomness.key(seed, *labels)
        for seed in (0, 1, 2**63 - 1)
        for labels in ((), ("",), ("ab", "c"), ("a", "bc"), ("abc",), ("1",), (1,), ("noise", 1), ("noise", 2))
    }
    assert len(keys) == 27


@pytest.mark.parametrize("seed", [-1, 2**256, 1.0, True, "1"])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(PrivacyError, match="seed"):
        randomness.key(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [None, 1.5, True, b"x", "\ud800"])
def test_bad_labels_are_refused(label: object) -> None:
    with pytest.raises(PrivacyError, match="label"):
        randomness.key(0, label)  # type: ignore[arg-type]


def test_bad_keys_lengths_and_arrays_are_refused() -> None:
    one = np.ones(1, dtype=np.uint64)
    for call in (
        lambda: randomness.keystream(b"short", 1),
        lambda: randomness.keystream(KEY, -1),
        lambda: randomness.gaussian(b"short", 1),
        lambda: randomness.gaussian(KEY, -1),
        lambda: randomness.uniform(KEY, -1),
        lambda: randomness.prf_uint64(b"short", one, one),
        lambda: randomness.prf_uint64(KEY, np.ones(1), one),  # type: ignore[arg-type]
        lambda: randomness.prf_uint64(KEY, np.ones(2, dtype=np.uint64), np.ones(3, dtype=np.uint64)),
    ):
        with pytest.raises(PrivacyError):
            call()


def test_fresh_keys_differ() -> None:
    assert len({randomness.fresh_key() for _ in range(8)} | {bytes(32)}) == 9


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1, max_size=20))
def test_prf_does_not_depend_on_the_batch(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
    together = randomness.prf_uint64(KEY, table[:, 0], table[:, 1])
    alone = [randomness.prf_uint64(KEY, row[:1], row[1:])[0] for row in table]
    assert together.tolist() == [int(value) for value in alone]


def test_prf_broadcasts_and_tells_its_arguments_apart() -> None:
    a = np.arange(3, dtype=np.uint64)
    table = randomness.prf_uint64(KEY, a[:, None], a[None, :])
    assert table.shape == (3, 3)
    assert len(np.unique(table)) == 9  # (1, 2) and (2, 1) differ too
    assert randomness.prf_uint64(KEY, a[:0], a[:0]).shape == (0,)
    assert randomness.prf_uint64(bytes(32), a, a).tolist() != np.diag(table).tolist()


def test_uniform_follows_its_definition() -> None:
    words = np.frombuffer(randomness.keystream(KEY, 32), dtype="<u8")
    expected = [(2 * (int(word) >> 12) + 1) / 2**53 for word in words]
    assert randomness.uniform(KEY, 4).tolist() == expected


def test_gaussian_follows_its_definition_in_every_chunk() -> None:
    n = (1 << 18) + 2
    numbers = randomness.gaussian(KEY, n)
    words = np.frombuffer(randomness.keystream(KEY, 16 * n), dtype="<u8")
    for place in (0, 1, 2, n - 2, n - 1):
        high, low = int(words[2 * place]), int(words[2 * place + 1])
        tail = ((high >> 1) + low / 2**64) / 2**64
        expected = NormalDist().inv_cdf(tail) * (1 - 2 * (high & 1))
        assert numbers[place] == pytest.approx(expected, rel=1e-9)


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert randomness.gaussian(KEY, 10).tolist() == randomness.gaussian(KEY, 300_000)[:10].tolist()
    assert randomness.uniform(KEY, 10).tolist() == randomness.uniform(KEY, 1000)[:10].tolist()


def test_uniform_and_gaussian_pass_kolmogorov_smirnov() -> None:
    for label in range(5):
        key = randomness.key(label, "statistics")
        assert stats.kstest(randomness.uniform(key, 20_000), "uniform").pvalue > 1e-4
        assert stats.kstest(randomness.gaussian(key, 20_000), "norm").pvalue > 1e-4
    assert stats.kstest(1.1 * randomness.gaussian(KEY, 20_000), "norm").pvalue < 1e-4
    assert stats.kstest(randomness.uniform(KEY, 20_000) ** 1.1, "uniform").pvalue < 1e-4


@pytest.mark.parametrize(("scale", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_the_noise_scale_is_accepted_and_wrong_ones_are_rejected(scale: float, accepted: bool) -> None:
    n = 2000
    squares = float(np.sum((scale * randomness.gaussian(randomness.key(3, "scale"), n)) ** 2))
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], n)
    assert bool(low < squares < high) is accepted


def test_streams_of_different_keys_are_uncorrelated() -> None:
    n = 20_000
    streams = np.stack([randomness.gaussian(randomness.key(0, "stream", i), n) for i in range(6)])
    correlation = np.corrcoef(streams) - np.eye(6)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_keys_derived_from_a_secret_differ_by_label_and_by_secret() -> None:
    one, other = randomness.key(1, "a"), randomness.key(2, "a")
    found = {randomness.derived_key(secret, *labels) for secret in (one, other) for labels in ((1,), ("1",), ("1", 2))}
    assert len(found) == 6
    assert randomness.derived_key(one, 1) == randomness.derived_key(one, 1)
    assert randomness.derived_key(randomness.key(0), "x") != randomness.key(0, "x")
    with pytest.raises(PrivacyError, match="32 bytes"):
        randomness.derived_key(b"short", 1)
