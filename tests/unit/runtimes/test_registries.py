"""Which registry an image is from, and with what one logs in there."""

from __future__ import annotations

import pytest

from tasks.runtimes.images import account_at, registry_of


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("nvcr.io/nvidia/nemo:25.11.01", "nvcr.io"),
        ("registry.hospital.example/asr/nemo:1", "registry.hospital.example"),
        ("registry.hospital.example:5000/nemo", "registry.hospital.example:5000"),
        ("localhost:5000/nemo:1", "localhost:5000"),
        ("localhost/nemo:1", "localhost"),
        ("asr-flywheel/nemo-standin", ""),
        ("nemo:25.11", ""),
    ],
)
def test_the_part_before_the_first_slash_is_a_registry_if_it_is_a_host(
    image: str, registry: str
) -> None:
    """As Docker reads names."""
    assert registry_of(image) == registry


def test_a_key_of_ngc_is_for_nvidias_registry_alone() -> None:
    """A registry of a hospital's own has accounts of its own."""
    assert "$oauthtoken" in account_at("nvcr.io")
    assert account_at("registry.hospital.example") == "your account there"
