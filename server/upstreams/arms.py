"""Which arm of a split name answers somebody: always the same one, as far as shares and workers allow."""

import hashlib

from common.registry import BUCKETS, Split
from server.upstreams.directory import Directory


def bucket_of(name: str, split: Split, identity: bytes) -> int:
    """Where somebody falls, 0 to BUCKETS - 1. Another canary has other people in its buckets, so that not
    always the same ones try what is new."""
    canary = split.arms[1].model
    said = b"\xff".join((name.encode(), canary.encode(), identity))
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest()) % BUCKETS


def arm_at(split: Split, bucket: int) -> str:
    """The model of a bucket. The second arm grows from the first bucket up, the third from the last one
    down: whoever is in an arm stays there while its share grows."""
    stable, canary, *third = split.arms
    if bucket < canary.buckets:
        return canary.model
    if third and bucket >= BUCKETS - third[0].buckets:
        return third[0].model
    return stable.model


def choose_arm(directory: Directory, name: str, split: Split, identity: bytes) -> str:
    """The model that answers; the stable one where the other has no ready worker."""
    model = arm_at(split, bucket_of(name, split, identity))
    if any(up.state == "ready" for up in directory.serving(model)):
        return model
    return split.arms[0].model
