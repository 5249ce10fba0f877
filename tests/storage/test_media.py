"""Rules of storage/media.py and storage/headers.py: facts of pictures, damage, hostile headers, decoding."""

from __future__ import annotations

import datetime
import hashlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from annotation.errors import InvalidInput
from storage import headers, media

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")


def quarters() -> np.ndarray:
    """RGB, 40 x 60, a colour a quarter, so that every turn and mirror shows."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:], picture[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


def noise(h: int = 96, w: int = 128) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (h, w, 3), np.uint8)


def coded(form: str, picture: np.ndarray | None = None, **kw: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(noise() if picture is None else picture).save(out, form, **kw)
    return out.getvalue()


def with_exif(form: str, orientation: int) -> bytes:
    if form == "TIFF":
        return coded(form, quarters(), tiffinfo={274: orientation})
    exif = Image.Exif()
    exif[274] = orientation
    exif.get_ifd(0x8769)[36867] = "2024:03:05 06:07:08"
    return coded(form, quarters(), exif=exif, **({} if form == "PNG" else {"quality": 95}))


@pytest.mark.parametrize("form", FORMATS)
def test_probe_gives_both_digests_size_and_type_of_the_bytes(form: str) -> None:
    data = coded(form)
    facts = media.probe(data)
    assert facts.blake3 == blake3(data).digest()
    assert facts.sha256 == hashlib.sha256(data).digest()
    assert (facts.size_bytes, facts.width_px, facts.height_px) == (len(data), 128, 96)
    assert facts.media_type == f"image/{form.lower()}"


@pytest.mark.parametrize("form", ("JPEG", "PNG", "TIFF", "WEBP"))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_applies_the_orientation_that_probe_reports(form: str, orientation: int) -> None:
    data = with_exif(form, orientation)
    facts = media.probe(data)
    picture = media.decode(data)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))[:, :, ::-1]
    assert facts.orientation == orientation
    assert picture.shape == (facts.height_px, facts.width_px, 3)
    assert np.abs(picture.astype(int) - wanted).max() <= 8


@pytest.mark.parametrize("form", ("JPEG", "PNG", "WEBP"))
def test_capture_time_without_a_zone_is_taken_as_utc(form: str) -> None:
    wanted = datetime.datetime(2024, 3, 5, 6, 7, 8, tzinfo=datetime.UTC).timestamp() * 1000
    assert media.probe(with_exif(form, 1)).taken_ms == wanted


def test_capture_time_uses_zone_and_fraction_when_named() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({36867: "2024:03:05 06:07:08", 36881: "+08:00", 37521: "25"})
    wanted = datetime.datetime(2024, 3, 4, 22, 7, 8, 250_000, tzinfo=datetime.UTC).timestamp() * 1000
    assert media.probe(coded("JPEG", exif=exif)).taken_ms == wanted


def test_damaged_exif_spoils_no_picture() -> None:
    data = bytearray(with_exif("JPEG", 6))
    at = data.index(b"Exif\0\0") + 10
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    facts = media.probe(bytes(data))
    assert (facts.orientation, facts.taken_ms) == (1, None)


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_cut_anywhere_is_refused(form: str) -> None:
    data = coded(form)
    for keep in sorted({0, 1, 7, 15, 16, 40, *range(50, len(data), len(data) // 60), len(data) - 3}):
        if form == "TIFF" and keep > len(data) - 4:
            continue
        with pytest.raises(InvalidInput):
            media.probe(data[:keep])


def test_a_jpeg_cut_behind_its_thumbnail_is_refused() -> None:
    """The thumbnail's own end mark must not pass for the picture's."""
    exif = b"Exif\0\0" + coded("JPEG", quarters())
    data = coded("JPEG")
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert media.probe(whole).width_px == 128
    with pytest.raises(InvalidInput, match="cut short"):
        media.probe(whole[: len(whole) // 2])


def test_a_jpeg_whose_tail_is_zeros_is_refused() -> None:
    data = coded("JPEG")
    with pytest.raises(InvalidInput, match="cut short"):
        media.probe(data[: len(data) // 2] + bytes(len(data) // 2))


def test_a_jpeg_with_padding_behind_its_end_is_taken_and_decodes() -> None:
    data = coded("JPEG") + bytes(4096)
    assert media.decode(data).shape == (96, 128, 3)


def test_a_flipped_bit_in_a_png_is_refused() -> None:
    data = bytearray(coded("PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(InvalidInput, match="checksum"):
        media.probe(bytes(data))


def test_type_comes_from_the_content() -> None:
    assert headers.sniff(coded("PNG")[:16]) == "image/png"
    for data, words in (
        (b"<html>not found</html>", "not a picture"),
        (b"GIF89a" + bytes(90), "GIF"),
        (bytes(99), "zeros"),
    ):
        with pytest.raises(InvalidInput, match=words):
            media.probe(data)


def png_of(w: int, h: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(999)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("wh", ((100_000, 100_000), (14_000, 14_000), (0, 5), (2**31, 1)))
def test_bombs_and_empty_areas_are_refused_from_the_header(wh: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match=r"megapixels|bomb|no area"):
        media.probe(png_of(*wh))


def test_a_frame_header_of_65500_squared_is_refused() -> None:
    data = bytearray(coded("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    with pytest.raises(InvalidInput, match="megapixels"):
        media.probe(bytes(data))


@settings(max_examples=300, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
def test_any_damage_of_the_head_is_a_named_fault_or_a_picture(
    form: str, edits: list[tuple[int, int]]
) -> None:
    data = bytearray(coded(form, quarters()))
    for at, value in edits:
        data[at % len(data)] = value
    try:
        facts = media.probe(bytes(data))
    except InvalidInput as error:
        assert error.what
        assert "\n" not in error.line
    else:
        assert 0 < facts.width_px * facts.height_px <= headers.MAX_PIXELS


@pytest.mark.parametrize(("top", "wanted"), ((4095, 255), (65535, 255), (2000, 125), (255, 255)))
def test_sixteen_bits_are_scaled_by_the_depth_in_use(top: int, wanted: int) -> None:
    picture = np.zeros((8, 9, 3), np.uint16)
    picture[4:] = top
    ok, data = cv2.imencode(".tif", picture)
    assert ok
    decoded = media.decode(data.tobytes())
    assert decoded.dtype == np.uint8
    assert (int(decoded.min()), int(decoded.max())) == (0, wanted)


def test_grey_palette_and_cmyk_pictures_become_bgr() -> None:
    image = Image.fromarray(quarters())
    for form, mode in (
        ("PNG", "L"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("JPEG", "CMYK"),
        ("JPEG", "L"),
        ("TIFF", "CMYK"),
        ("PNG", "RGBA"),
    ):
        out = io.BytesIO()
        image.convert(mode).save(out, form)
        assert media.decode(out.getvalue()).shape == (40, 60, 3)


@pytest.mark.parametrize("form", FORMATS)
def test_a_size_limit_keeps_the_aspect(form: str) -> None:
    data = coded(form, noise(300, 400))
    assert media.decode(data, max_side_px=100).shape == (75, 100, 3)
    assert media.decode(data, max_side_px=5000).shape == (300, 400, 3)


def test_decode_names_damage_inside_the_picture_data() -> None:
    data = bytearray(coded("JPEG", noise(300, 400)))
    start = data.index(b"\xff\xda") + 40
    del data[start + 2000 : -2000]
    media.probe(bytes(data))
    with pytest.raises(InvalidInput):
        media.decode(bytes(data))


def test_a_camera_raw_file_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="camera raw"):
        media.probe(coded("TIFF", tiffinfo={50706: b"\1\4\0\0"}))


# --- true samples, first looks -----------------------------------------------------------------------------------


def deep(h: int = 40, w: int = 60, top: int = 60_000) -> np.ndarray:
    return np.linspace(7_000, top, h * w).reshape(h, w).astype(np.uint16)


def cv_coded(ending: str, picture: np.ndarray) -> bytes:
    ok, data = cv2.imencode(ending, picture)
    assert ok
    return data.tobytes()


@pytest.mark.parametrize("ending", (".png", ".tif"))
def test_sixteen_bits_of_gray_are_given_as_stored(ending: str) -> None:
    found = media.picture(cv_coded(ending, deep()))
    assert found.deep is not None
    assert np.array_equal(found.deep, deep())
    assert (found.kind.bits, found.kind.colour) == (16, "gray")
    assert np.array_equal(found.screen[:, :, :3], media.decode(cv_coded(ending, deep())))


def test_sixteen_bits_of_colour_and_floats_keep_their_samples() -> None:
    colour = np.dstack([deep(), deep() // 2, deep() // 3])
    assert np.array_equal(media.picture(cv_coded(".png", colour)).deep, colour)
    heat = np.linspace(-20.5, 320.25, 2400, dtype=np.float32).reshape(40, 60)
    out = io.BytesIO()
    Image.fromarray(heat).save(out, "TIFF")
    found = media.picture(out.getvalue())
    assert found.deep is not None
    assert found.deep.dtype == np.float32
    assert np.array_equal(found.deep, heat)
    assert found.kind.bits == 32


def test_floats_that_are_no_numbers_are_shown_as_nothing_and_not_as_a_fault() -> None:
    heat = np.full((8, 9), np.nan, np.float32)
    heat[0, 0] = np.inf
    out = io.BytesIO()
    Image.fromarray(heat).save(out, "TIFF")
    found = media.picture(out.getvalue())
    assert found.deep is not None
    assert np.isfinite(found.deep).all()
    assert found.screen.shape == (8, 9, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_true_samples_and_first_looks_are_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    large = np.kron(quarters(), np.ones((20, 20, 1), np.uint8))
    out = io.BytesIO()
    Image.fromarray(large).save(out, "JPEG", exif=exif, quality=95)
    found = media.picture(out.getvalue())
    small = media.preview(out.getvalue(), 300)
    assert small is not None
    assert small[1] == (found.screen.shape[1], found.screen.shape[0])
    scaled = cv2.resize(found.screen, small[0].shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small[0].astype(int) - scaled).mean() < 4
    tiff = io.BytesIO()
    Image.fromarray(deep()).save(tiff, "TIFF", tiffinfo={274: orientation})
    seen = media.picture(tiff.getvalue())
    assert seen.deep is not None
    assert np.array_equal(seen.deep, media.orient(deep(), orientation))
    assert seen.screen.shape[:2] == seen.deep.shape


@pytest.mark.parametrize("least", (100, 300, 599, 601, 1200))
def test_a_first_look_is_a_half_quarter_or_eighth_and_never_too_coarse(least: int) -> None:
    data = coded("JPEG", noise(900, 1200))
    small = media.preview(data, least)
    if least > 600:
        assert small is None
    else:
        assert small is not None
        assert 1200 / max(small[0].shape[:2]) in (2, 4, 8)
        assert max(small[0].shape[:2]) >= least
        assert (small[0][:, :, 3] == 255).all()


def test_only_jpeg_has_a_quick_first_look() -> None:
    for form in ("PNG", "TIFF", "WEBP", "BMP"):
        assert media.preview(coded(form, noise(300, 400)), 50) is None


@pytest.mark.parametrize(
    ("form", "mode", "colour", "alpha"),
    (
        ("PNG", "L", "gray", False),
        ("PNG", "P", "palette", False),
        ("PNG", "RGBA", "colour", True),
        ("JPEG", "CMYK", "cmyk", False),
        ("JPEG", "L", "gray", False),
        ("WEBP", "RGB", "colour", False),
    ),
)
def test_what_the_samples_are_is_said(form: str, mode: str, colour: str, alpha: bool) -> None:
    out = io.BytesIO()
    Image.fromarray(quarters()).convert(mode).save(out, form)
    found = media.picture(out.getvalue())
    assert (found.kind.bits, found.kind.colour, found.kind.alpha) == (8, colour, alpha)
    assert found.deep is None
    assert np.array_equal(found.screen[:, :, :3], media.decode(out.getvalue()))
    assert (found.screen[:, :, 3] == 255).all()


def test_a_colour_profile_is_not_applied_but_said() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = coded("PNG", quarters(), icc_profile=profile)
    assert media.picture(data).kind.profile
    assert not media.picture(coded("PNG", quarters())).kind.profile
    assert np.array_equal(media.decode(data), quarters()[:, :, ::-1])


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damage_anywhere_is_a_named_fault_or_a_picture_for_the_eye_too(
    form: str, edits: list[tuple[int, int]]
) -> None:
    data = bytearray(coded(form, quarters()))
    for at, value in edits:
        data[at % len(data)] = value
    for look in (media.picture, media.decode, lambda d: media.preview(d, 10)):
        try:
            look(bytes(data))
        except InvalidInput as error:
            assert "\n" not in error.line
