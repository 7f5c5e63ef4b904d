"""Checks that weights on a worker are those that the run was started with."""

from __future__ import annotations

from schemas.errors import WeightsError


def check_digest(what: str, got: str | None, expected: str | None) -> None:
    """Raises WeightsError if two SHA-256 hex digests differ; an empty expected digest is accepted.

    A worker with another version of a file would write tracks that say they were made with
    the first one.
    """
    if expected is not None and got != expected:
        raise WeightsError(
            f"{what}: got sha256 {got} on this worker, expected {expected}, with which the run "
            "was started: install the same facetracks and weights on every machine"
        )
