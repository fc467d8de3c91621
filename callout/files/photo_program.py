"""A program that makes a photo fit to be shown. It runs as a process of its own (`files/photo_process.py`), because
decoders are large C libraries, and photos come from strangers.

It is started with the photo's content type and the most bytes that the result may have. It reads the photo from
standard input, and writes to standard output a line of JSON, and then the bytes that it counts: `{"type", "width",
"height", "photo", "thumbnail"}`, or `{"refused": why}`.

The photo is decoded and encoded anew, so that nothing but its pixels is left: no place, no other metadata, no second
file inside. It is turned upright first, and its colours are converted to sRGB.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from PIL import Image, ImageCms, ImageFile, ImageOps

MEMORY_MAX: Final = 1_280 * 1024 * 1024  # bytes of address space
CPU_SECONDS: Final = 30
PIXELS_MAX: Final = 64_000_000
"""Pixels that are decoded at most, of all frames together. A larger JPEG is decoded at half or a quarter of its size.
Pillow keeps four bytes for each, twice while it turns them."""
SCALED_PIXELS_MAX: Final = 256_000_000
"""Pixels of a JPEG that is decoded at a smaller size: the largest cameras of phones have 200 million."""
FRAMES_MAX: Final = 500
DURATION_MAX: Final = 600_000  # milliseconds of all frames; equal ones become one, whose duration has 16 bits
THUMBNAIL_SIDE: Final = 512  # pixels
QUALITY: Final = 85
THUMBNAIL_QUALITY: Final = 75

_FORMATS: Final = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/heic": "HEIF",
    "image/avif": "AVIF",
}
# Not every browser and mail program shows the others.
_KEPT: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_OF_FRAMES: Final = ("transparency", "duration", "loop", "disposal", "blend", "background")

TOO_LARGE: Final = "The image has too many pixels."
DAMAGED: Final = "The image is damaged."


class Unfit(Exception):
    """The photo cannot be shown; the message says why."""


def main(content_type: str, output_max: int, source: BinaryIO, target: BinaryIO) -> None:
    try:
        header, parts = _processed(source.read(), _FORMATS[content_type])
        if len(parts[0]) > output_max:
            raise Unfit(TOO_LARGE)
    except Unfit as error:
        header, parts = {"refused": str(error)}, []
    except MemoryError:
        header, parts = {"refused": TOO_LARGE}, []
    except Exception:  # noqa: BLE001 (the decoders raise whatever a damaged file leads them to)
        header, parts = {"refused": DAMAGED}, []
    target.write(json.dumps(header).encode() + b"\n")
    target.writelines(parts)


def limit() -> None:
    """Bounds what this process may take: memory, time, and files, of which it needs none."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _processed(data: bytes, format_: str) -> tuple[dict[str, object], list[bytes]]:
    frames = _frames(data, format_)
    encoded, type_ = _encoded(frames, format_)
    first = frames[0]
    width, height = first.size
    thumbnail = _thumbnail(first)
    header = {"type": type_, "width": width, "height": height, "photo": len(encoded), "thumbnail": len(thumbnail)}
    return header, [encoded, thumbnail]


def _frames(data: bytes, format_: str) -> list[Image.Image]:
    """The frames of the photo, upright, in sRGB and without metadata; only the first of an animation that is too long,
    or whose format has other pictures than frames."""
    with Image.open(io.BytesIO(data), formats=[format_]) as image:
        _bound_size(image)
        animated = format_ in ("GIF", "WEBP", "PNG") and 1 < getattr(image, "n_frames", 1) <= FRAMES_MAX
        if animated and image.n_frames * image.width * image.height <= PIXELS_MAX:  # type: ignore[attr-defined]
            return [_plain(frame.copy()) for frame in _each_frame(image)]
        image.load()
        return [_plain(_upright(image))]


def _bound_size(image: ImageFile.ImageFile) -> None:
    pixels = image.width * image.height
    if pixels > PIXELS_MAX and pixels <= SCALED_PIXELS_MAX:
        image.draft("RGB", (image.width // 2, image.height // 2))
    if image.width * image.height > PIXELS_MAX:
        raise Unfit(TOO_LARGE)


def _each_frame(image: Image.Image) -> Iterator[Image.Image]:
    with suppress(EOFError):  # a file may promise more frames than it has
        for number in range(FRAMES_MAX):
            image.seek(number)
            yield image


def _upright(image: Image.Image) -> Image.Image:
    with suppress(Exception):  # broken metadata, which raises all kinds of errors: then the photo is not turned
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _plain(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    image.info = {name: value for name, value in image.info.items() if name in _OF_FRAMES}
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        with suppress(ImageCms.PyCMSError, OSError, ValueError):  # an unusable profile: the colours stay as they are
            output = "RGBA" if image.mode == "RGBA" else "RGB"
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode=output)
            image = cast(Image.Image, turned)
            image.info.pop("icc_profile", None)
    return image


def _encoded(frames: list[Image.Image], format_: str) -> tuple[bytes, str]:
    written = format_ if format_ in _KEPT else "JPEG"
    first, *more = frames
    options: dict[str, Any] = {}
    if written == "JPEG":
        first = _opaque(first)
        options = {"quality": QUALITY}
    elif written == "WEBP":
        options = {"quality": QUALITY, "method": 2}
    if more:
        options |= {"save_all": True, "append_images": more}
        longest = DURATION_MAX // len(frames)
        options["duration"] = [min(int(frame.info.get("duration", 100)), longest) for frame in frames]
        options["loop"] = first.info.get("loop", 0)
    target = io.BytesIO()
    first.save(target, written, **options)
    return target.getvalue(), _KEPT[written]


def _opaque(image: Image.Image) -> Image.Image:
    """The image in RGB or grey, on white where it is transparent."""
    if image.mode in ("RGB", "L"):
        return image
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _thumbnail(image: Image.Image) -> bytes:
    """A JPEG, which every mail program shows, of at most `THUMBNAIL_SIDE` pixels each way."""
    small = image.convert("RGBA") if image.mode in ("P", "PA") else image
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), reducing_gap=2.0)
    target = io.BytesIO()
    _opaque(small).save(target, "JPEG", quality=THUMBNAIL_QUALITY)
    return target.getvalue()


if __name__ == "__main__":
    if sys.argv[1] == "image/heic":
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1
        pillow_heif.register_heif_opener()
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # half a photo is better than none
    Image.MAX_IMAGE_PIXELS = None  # `_bound_size` is stricter
    limit()
    main(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
