"""The demonstration detector that comes with the product: trained on drawn scenes, not for safety use."""

from __future__ import annotations

from pathlib import Path

from models.card import ModelCard
from models.recognise import recognise


def path() -> Path:
    """Its ONNX file. README.md and card.toml beside it tell how it was made and what it reached."""
    return Path(__file__).with_name("lamproom-demo.onnx")


def card() -> ModelCard:
    """Its card, read from the file like any other model's."""
    return recognise(path(), name="demo").card
