"""What becomes of a photo, and of files that only look like one. Each is processed as in the worker, by a process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from callout.files import photos
from callout.files.content_type import PHOTOS, content_type
from callout.files.photo_program import CPU_SECONDS, FRAMES_MAX, TOO_LARGE
from callout.files.photos import Photo, UnfitPhoto, processed
from tests.helpers.photos import PLACE, decoded, encoded, phone_exif, photo, picture, png_of_size

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/heic": "HEIF", "image/avif": "AVIF"}


async def process(data: bytes) -> Photo:
    type_ = content_type(data, "")
    assert type_ in PHOTOS
    return await processed(data, type_)


def is_white(image: Image.Image, x: int, y: int) -> bool:
    return image.convert("1").getpixel((x, y)) == 255


@pytest.mark.parametrize("type_", FORMATS)
async def test_a_photo_is_turned_upright_and_has_no_place_left(type_: str) -> None:
    made = await process(photo(FORMATS[type_]))
    assert (made.width, made.height) == (40, 60)
    assert made.content_type == (type_ if type_ in ("image/png", "image/webp") else "image/jpeg")
    for data in (made.data, made.thumbnail):
        image = decoded(data)
        assert image.size == (40, 60)
        assert is_white(image, 20, 5) and not is_white(image, 20, 55)  # what was left is on top
        assert not image.getexif()
        for trace in (PLACE.encode(), b"Exif", b"GPS", b"ICC_PROFILE", b"http://ns.adobe.com"):
            assert trace not in data


async def test_every_orientation_is_turned_the_right_way() -> None:
    for orientation in (1, 3, 8):
        made = decoded((await process(photo(orientation=orientation))).data)
        assert is_white(made, *{1: (5, 20), 3: (55, 20), 8: (20, 55)}[orientation])


async def test_broken_metadata_does_not_spoil_the_photo() -> None:
    for broken in (b"Exif\0\0" + os.urandom(60), b"Exif\0\0MM\0*\xff\xff\xff\xff", phone_exif()[:30], b"Exif\0\0"):
        made = await process(encoded(picture(), "JPEG", exif=broken))
        assert {made.width, made.height} == {60, 40}
    made = await process(encoded(picture(), "PNG", icc_profile=b"no profile"))
    assert (made.width, made.height) == (60, 40)


async def test_a_second_file_behind_the_photo_is_gone() -> None:
    for data in (photo(), photo("PNG"), photo("GIF")):
        made = await process(data + b"PK\x03\x04<script>alert(1)</script>" + photo())
        for trace in (b"PK\x03\x04", b"<script>", PLACE.encode()):
            assert trace not in made.data


async def test_an_animation_goes_on_moving_without_its_comment() -> None:
    frames = [Image.new("L", (20, 10), 40 * number) for number in range(5)]
    for format_ in ("GIF", "PNG", "WEBP"):
        made = await process(encoded(frames[0], format_, save_all=True, append_images=frames[1:], duration=80))
        assert decoded(made.data).n_frames == 5  # type: ignore[attr-defined]
        assert (made.width, made.height) == (20, 10)


async def test_an_endless_animation_stands_still() -> None:
    frames = [Image.new("L", (2, 2), number % 250) for number in range(FRAMES_MAX + 100)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=80)
    assert decoded(data).n_frames > FRAMES_MAX  # type: ignore[attr-defined]
    made = await process(data)
    assert getattr(decoded(made.data), "n_frames", 1) == 1


async def test_a_thumbnail_is_small_and_opaque() -> None:
    clear = Image.new("RGBA", (1_200, 300), (0, 0, 0, 0))
    made = await process(encoded(clear, "PNG"))
    small = decoded(made.thumbnail)
    assert (small.format, small.size, small.getpixel((5, 5))) == ("JPEG", (512, 128), (255, 255, 255))
    assert (made.width, made.height) == (1_200, 300)
    assert decoded(made.data).getpixel((5, 5)) == (0, 0, 0, 0)


async def test_half_a_photo_is_better_than_none() -> None:
    noise = encoded(Image.effect_noise((400, 300), 50), "JPEG")
    made = await process(noise[: len(noise) // 2])
    assert (made.width, made.height) == (400, 300)


@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (2_000_000_000, 1), (1 << 31, 1 << 31), (0, 5)])
async def test_an_image_of_a_gigapixel_is_refused(width: int, height: int) -> None:
    data = png_of_size(8, 8).replace((8).to_bytes(4) * 2, width.to_bytes(4) + height.to_bytes(4), 1)
    with pytest.raises(UnfitPhoto):
        await process(data)


async def test_a_bomb_is_refused_for_its_pixels() -> None:
    with pytest.raises(UnfitPhoto, match=TOO_LARGE):
        await process(png_of_size(16_000, 4_001))


async def test_a_photo_of_a_hundred_megapixels_becomes_smaller() -> None:
    made = await process(encoded(Image.new("L", (12_000, 8_000)), "JPEG"))
    assert (made.width, made.height) == (6_000, 4_000)


@pytest.mark.parametrize(
    "mark", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\0\0\0\x18ftypheic", b"RIFF\xff\xff\xff\x7fWEBP"]
)
async def test_what_only_begins_like_a_photo_is_refused(mark: bytes) -> None:
    for rest in (b"", b"<html><script>alert(1)</script>", os.urandom(5_000)):
        with pytest.raises(UnfitPhoto):
            await process(mark + rest)


async def test_a_photo_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "SECONDS", 0.01)
    with pytest.raises(UnfitPhoto, match="too much memory or time"):
        await process(photo())


REPORTER = """
import json, os, resource, runpy
limit = runpy.run_path({program!r}, run_name="photo_program")["limit"]
limit()
try:
    bytearray(2 << 30)
except MemoryError:
    seen = [resource.getrlimit(resource.RLIMIT_CPU), dict(os.environ), os.getcwd()]
    print(json.dumps({{"refused": json.dumps(seen)}}))
"""


async def test_the_process_has_little_memory_and_time_and_none_of_our_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLOUT_JWT_SECRET", "secret")
    reporter = tmp_path / "reporter.py"
    reporter.write_text(REPORTER.format(program=str(photos.PROGRAM)))
    monkeypatch.setattr(photos, "PROGRAM", reporter)
    with pytest.raises(UnfitPhoto) as refused:
        await process(photo())
    cpu, environment, directory = json.loads(str(refused.value))
    assert cpu == [CPU_SECONDS, CPU_SECONDS] and directory == "/"
    assert "secret" not in str(environment) and "PATH" not in environment


async def test_a_process_that_dies_or_writes_nonsense_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    monkeypatch.setattr(photos, "PROGRAM", program)
    monkeypatch.setattr(photos, "OUTPUT_MAX", 1_000)
    header = '{"type": "image/jpeg", "width": 1, "height": 1, "photo": 2, "thumbnail": 1}'
    for written in (
        "import os; os.kill(os.getpid(), 9)",
        "print('[]')",
        "print('null')",
        f"print('{header}'); print('xxxxxx')",
        f"print('{header.replace('image/jpeg', 'text/html')}'); print('xx')",
        f"print('{header.replace('1', '-1')}'); print('xx')",
        "while True: print('x' * 100)",
    ):
        program.write_text(written)
        with pytest.raises(UnfitPhoto, match="could not be processed"):
            await process(photo())


async def test_no_photo_may_outgrow_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "OUTPUT_MAX", 100)
    with pytest.raises(UnfitPhoto, match=TOO_LARGE):
        await process(photo())
