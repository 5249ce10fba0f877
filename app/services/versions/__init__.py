"""Versions of a dataset: freeze in constant time, build the signed manifest after, prove, compare, take out, rebuild."""

from __future__ import annotations

from app.services.versions.building import build, sealed
from app.services.versions.checkouts import checkout
from app.services.versions.differing import Diff, diff, pair, pictures, totals
from app.services.versions.history import log
from app.services.versions.objects import load, media_of, picture, place_of
from app.services.versions.pins import find, freeze, listing
from app.services.versions.proving import verify
from app.services.versions.rebuilding import rebuild
from app.services.versions.sweeping import gc, gc_hub
from storage.versions import Filter, Version

__all__ = [
    "Diff", "Filter", "Version", "build", "checkout", "diff", "find", "freeze", "gc", "gc_hub", "listing", "load", "log", "media_of",
    "pair", "picture", "pictures", "place_of", "rebuild", "sealed", "totals", "verify",
]  # fmt: skip
