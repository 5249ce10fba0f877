"""Versions of a dataset: freeze in constant time, build the signed manifest after, prove, compare, take out, rebuild."""

from __future__ import annotations

from app.services.versions.building import build, sealed
from app.services.versions.differing import Diff, diff
from app.services.versions.objects import load, media_of, place_of
from app.services.versions.pins import find, freeze, listing
from app.services.versions.proving import verify
from storage.versions import Filter, Version

__all__ = [
    "Diff",
    "Filter",
    "Version",
    "build",
    "diff",
    "find",
    "freeze",
    "listing",
    "load",
    "media_of",
    "place_of",
    "sealed",
    "verify",
]
