"""Quantities in the form in which Kubernetes writes them back."""

from __future__ import annotations

import pytest

from disvc.testing.quantity import canonical


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("0.25G", "250M"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("2000000k", "2G"),
        ("512Ki", "512Ki"),
        ("1e3", "1e3"),
        ("100e2", "10e3"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1000m", "-1"),
        ("+2", "2"),
        ("1n", "1n"),
        ("0.1n", "1n"),  # rounded up: nothing is smaller
        (2, "2"),
        (0.1, "100m"),
    ],
)
def test_a_quantity_is_written_with_the_largest_suffix_of_its_family_that_leaves_an_integer(
    given: str | float, written: str
) -> None:
    assert canonical(given) == written


@pytest.mark.parametrize("given", ["", "lots", "1 Gi", "1gi", "1e", "--1", "1Kii"])
def test_what_is_no_quantity_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        canonical(given)
