"""Image files made like MNIST's images: photos, scans and drawings give what a clean drawing of the
same digit gives.
"""

import contextlib
import io
import json
import os
import re
import sys

import numpy as np
import pytest

from cnet import datasets, nn
from cnet.cli import main
from cnet.cli._console import CommandError
from cnet.cli._image import read_images
from cnet.cli._layout import like_mnist

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
ImageFilter = pytest.importorskip("PIL.ImageFilter")
pytest.importorskip("scipy")

SIZE, DIGIT = 240, 180


@pytest.fixture(scope="module")
def digits():
    """Digits as MNIST has them: with and without holes, corners and separate strokes."""
    return datasets.draw_digits([0, 1, 4, 5, 8], seed=3)


def read(image, tmp_path, name="image.png"):
    """What a picture becomes, through a file."""
    image.save(tmp_path / name)
    return read_images(str(tmp_path / name))


def enlarged(digit, size=DIGIT):
    """Strength of the ink from 0 to 1, shape (size, size)."""
    return (
        np.asarray(
            Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC), np.float32
        )
        / 255
    )


def placed(ink, height=SIZE, width=SIZE, top=None, left=None):
    """Ink on a larger sheet, in its middle by default."""
    sheet = np.zeros((height, width), np.float32)
    top = (height - len(ink)) // 2 if top is None else top
    left = (width - len(ink)) // 2 if left is None else left
    sheet[top : top + len(ink), left : left + len(ink)] = ink
    return sheet


def on_paper(ink, paper=0.95, dark=0.1):
    return paper - (paper - dark) * ink


def picture(gray):
    return Image.fromarray((np.clip(gray, 0, 1) * 255).round().astype(np.uint8))


def blurred(gray, radius):
    return np.asarray(picture(gray).filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def jpeg(image, quality):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


Y, X = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j].astype(np.float32)
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((SIZE, SIZE))


def ruled(level, step, tilt=0, squared=False):
    """Lines of this 8-bit grayscale value on white, one pixel thick."""
    lines = Image.new("L", (2 * SIZE, 2 * SIZE), 255)
    draw = ImageDraw.Draw(lines)
    for place in range(step // 2, 2 * SIZE, step):
        draw.line([0, place, 2 * SIZE, place], int(255 * level))
        if squared:
            draw.line([place, 0, place, 2 * SIZE], int(255 * level))
    turned = np.asarray(lines.rotate(tilt, Image.Resampling.BICUBIC), np.float32) / 255
    return turned[SIZE // 2 : 3 * SIZE // 2, SIZE // 2 : 3 * SIZE // 2]


def with_specks(gray, size, count):
    gray = gray.copy()
    for y, x in np.random.default_rng(1).integers(2, SIZE - 8, (count, 2)):
        gray[y : y + size, x : x + size] = 0.2
    return gray


def phone(digit):
    """Off the middle, uneven light, noise and JPEG."""
    ink = placed(enlarged(digit, 130), 360, 480, 70, 260)
    y, x = np.mgrid[0:1:360j, 0:1:480j]
    noise = np.random.default_rng(2).standard_normal((360, 480))
    return jpeg(
        picture(on_paper(ink, 0.85, 0.25) * (1 - 0.45 * (0.6 * x + 0.4 * y)) + 0.03 * noise), 60
    )


def to_the_edges(digit, side=26, top=1, left=1):
    """28x28 pixels, light on dark, the digit as large as `side`."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    cut = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = side / max(cut.size)
    cut = cut.resize(
        (max(1, round(cut.width * scale)), max(1, round(cut.height * scale))),
        Image.Resampling.BICUBIC,
    )
    image = Image.new("L", (28, 28))
    image.paste(cut, (left, top))
    return image


def transparent(digit, color):
    ink = placed(enlarged(digit)).clip(0, 1)
    return Image.fromarray(
        (np.dstack([*(np.full_like(ink, level) for level in color), ink]) * 255)
        .round()
        .astype(np.uint8)
    )


def framed(digit):
    image = picture(on_paper(placed(enlarged(digit, 150))))
    ImageDraw.Draw(image).rectangle([20, 20, SIZE - 20, SIZE - 20], outline=40, width=2)
    return image


def on_a_table(digit, turned=0):
    table = Image.new("L", (340, 340), 70)
    sheet = picture(on_paper(placed(enlarged(digit)))).rotate(
        turned, Image.Resampling.BICUBIC, expand=True, fillcolor=70
    )
    table.paste(sheet, ((340 - sheet.width) // 2, (340 - sheet.height) // 2))
    return table


def clean(digit, **levels):
    return on_paper(placed(enlarged(digit)), **levels)


# Light and shadow, noise, what else is on the paper, what lies around it, and kinds of files.
VARIANTS = {
    "light on dark": lambda digit: picture(0.05 + 0.9 * placed(enlarged(digit))),
    "pencil": lambda digit: picture(clean(digit, paper=0.9, dark=0.65)),
    "in a corner": lambda digit: picture(on_paper(placed(enlarged(digit), 400, 500, 10, 310))),
    "light falling to 0.7": lambda digit: picture(clean(digit) * (1 - 0.3 * X)),
    "light falling to 0.5": lambda digit: picture(clean(digit) * (1 - 0.5 * X)),
    "light falling to 0.4 along a diagonal": lambda digit: picture(
        clean(digit) * (1 - 0.3 * (X + Y))
    ),
    "light falling to 0.5 on light ink": lambda digit: picture(
        (0.1 + 0.8 * placed(enlarged(digit))) * (1 - 0.5 * Y)
    ),
    "light falling to 0.5 on pencil": lambda digit: picture(
        clean(digit, paper=0.9, dark=0.6) * (1 - 0.5 * Y)
    ),
    "a shadow": lambda digit: picture(clean(digit) * np.where(X + 0.3 * Y > 0.85, 0.6, 1)),
    "a soft shadow": lambda digit: picture(
        clean(digit) * blurred(np.where(Y - 0.4 * X > 0.5, 0.55, 1), 4)
    ),
    "dark corners": lambda digit: picture(
        clean(digit) * (1 - 1.2 * ((X - 0.5) ** 2 + (Y - 0.5) ** 2))
    ),
    "noise": lambda digit: picture(clean(digit, paper=0.85, dark=0.25) + 0.05 * NOISE),
    "more noise": lambda digit: picture(clean(digit, paper=0.85, dark=0.25) + 0.1 * NOISE),
    "noise on light ink": lambda digit: picture(
        0.15 + 0.7 * placed(enlarged(digit)) + 0.05 * NOISE
    ),
    "salt and pepper": lambda digit: picture(
        np.where(NOISE > 2.3, 1, np.where(NOISE < -2.3, 0, clean(digit)))
    ),
    "dithered": lambda digit: picture(clean(digit)).convert("1"),
    "JPEG of low quality": lambda digit: jpeg(picture(clean(digit)), 15),
    "one speck": lambda digit: picture(
        np.where((X > 0.97) & (X < 0.985) & (abs(Y - 0.05) < 0.008), 0.2, clean(digit))
    ),
    "specks": lambda digit: picture(with_specks(clean(digit), 4, 6)),
    "specks at the sides": lambda digit: picture(
        np.where((X > 0.98) & (Y < 0.03) | (X < 0.03) & (Y > 0.98), 0.1, clean(digit))
    ),
    "ruled": lambda digit: picture(np.minimum(clean(digit), 0.95 * ruled(0.68, 30))),
    "ruled in black": lambda digit: picture(np.minimum(clean(digit), 0.95 * ruled(0.2, 30))),
    "ruled, not quite level": lambda digit: picture(
        np.minimum(clean(digit), 0.95 * ruled(0.4, 30, tilt=1.5))
    ),
    "ruled twice": lambda digit: picture(np.minimum(clean(digit), 0.95 * ruled(0.4, 150))),
    "ruled and noisy": lambda digit: picture(
        np.minimum(clean(digit, paper=0.9, dark=0.2), 0.9 * ruled(0.6, 30)) + 0.04 * NOISE
    ),
    "squared": lambda digit: picture(np.minimum(clean(digit), 0.95 * ruled(0.6, 20, squared=True))),
    "squared, not quite level": lambda digit: picture(
        np.minimum(clean(digit), 0.95 * ruled(0.5, 20, tilt=1.3, squared=True))
    ),
    "framed": framed,
    "a phone's photo": phone,
    "a sheet on a table": on_a_table,
    "a turned sheet on a table": lambda digit: on_a_table(digit, 8),
    "a table at one side": lambda digit: picture(np.where(X < 0.1, 0.3, clean(digit))),
    "28x28 with a gray background": lambda digit: Image.fromarray(
        (40 + digit * (215 / 255)).round().astype(np.uint8)
    ),
    "28x28 to the edges": to_the_edges,
    "28x28 to the edges, dark on light": lambda digit: to_the_edges(digit).point(
        lambda level: 255 - level
    ),
    "28x28 in a corner": lambda digit: to_the_edges(digit, 14, 12, 1),
    "28x28 with noise": lambda digit: picture(0.08 + 0.8 * digit / 255 + 0.03 * NOISE[:28, :28]),
    "28x28 with light falling to 0.5": lambda digit: picture(
        (0.9 - 0.8 * digit / 255) * np.linspace(1, 0.5, 28)
    ),
    "black on transparent": lambda digit: transparent(digit, (0, 0, 0)),
    "white on transparent": lambda digit: transparent(digit, (1, 1, 1)),
    "yellow on transparent": lambda digit: transparent(digit, (1, 0.9, 0.3)),
    "12 bits in 16": lambda digit: Image.fromarray((clean(digit) * 4095).astype(np.uint16)),
    "12 bits in 32": lambda digit: Image.fromarray((clean(digit) * 4095).astype(np.int32)),
}


def likeness(image, other):
    """Correlation of two images of ink on black, up to a shift by one pixel, which rounding may
    bring.
    """
    image, other = image.astype(float), other.astype(float)
    shifted = (np.roll(other, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1))
    return max((image * each).sum() for each in shifted) / np.sqrt(
        (image**2).sum() * (other**2).sum()
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_photo_gives_what_a_clean_drawing_gives(variant, digits, tmp_path):
    ending = "tif" if "32" in variant else "png"
    for digit in digits:
        expected = read(picture(clean(digit)), tmp_path).pixels[0]
        assert likeness(
            read(VARIANTS[variant](digit), tmp_path, f"image.{ending}").pixels[0], expected
        ) > (0.85 if "turned" in variant else 0.9)


@pytest.mark.parametrize("side", range(4))
def test_a_dark_object_that_reaches_in_from_one_side_is_no_ink(side, digits, tmp_path):
    gray = clean(digits[4])
    dark = np.rot90((X - 0.63) ** 2 + Y**2 < 0.335**2, side)
    found = read(picture(np.where(dark, 0.08, gray) * (1 - 0.05 * X)), tmp_path).pixels[0]
    assert likeness(found, read(picture(gray), tmp_path).pixels[0]) > 0.9


def test_a_small_digit_on_a_large_sheet_is_as_sharp_as_on_a_small_one(digits, tmp_path):
    for digit in digits:
        large = on_paper(placed(enlarged(digit, 60), 2000, 2000, 400, 600))
        expected = read(picture(clean(digit)), tmp_path).pixels[0]
        assert likeness(read(picture(large), tmp_path).pixels[0], expected) > 0.985


def test_a_clean_drawing_gives_its_digit(digits, tmp_path):
    for digit in digits:
        assert likeness(read(picture(clean(digit)), tmp_path).pixels[0], digit) > 0.9


@pytest.mark.parametrize("width", [3, 31])
def test_light_that_falls_unevenly_hollows_out_no_stroke(width, digits, tmp_path):
    for digit in digits:
        strokes = Image.fromarray((enlarged(digit) > 0.5).astype(np.uint8) * 255).filter(
            ImageFilter.MaxFilter(width)
        )
        ink = placed(np.asarray(strokes, np.float32) / 255)
        plain, shaded = (
            read(picture(on_paper(ink) * light), tmp_path).pixels[0] for light in (1, 1 - 0.5 * X)
        )
        assert likeness(shaded, plain) > 0.95


def test_what_is_like_mnist_keeps_its_pixels(tmp_path):
    images = datasets.draw_digits(np.arange(50) % 10)
    for image in images:
        np.testing.assert_array_equal(read(Image.fromarray(image), tmp_path).pixels, [image])
        np.testing.assert_array_equal(read(Image.fromarray(255 - image), tmp_path).pixels, [image])


def test_a_digit_at_another_place_is_moved(digits, tmp_path):
    for digit in digits:
        moved = read(Image.fromarray(np.roll(digit, (3, -3), (0, 1))), tmp_path).pixels[0]
        assert likeness(moved, digit) > 0.9


def test_arrays_of_zeros_and_ones_are_black_and_white(digits, tmp_path):
    np.save(tmp_path / "images.npy", digits // 128)
    np.testing.assert_array_equal(
        read_images(str(tmp_path / "images.npy")).pixels, digits // 128 * 255
    )


# Sizes, levels and modes


def ink_box(image):
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]


def bar(background, ink, mode="L", size=(160, 120)):
    image = Image.new(mode, size, background)
    ImageDraw.Draw(image).rectangle([20, 30, 49, 89], fill=ink)
    return image


@pytest.mark.parametrize(
    ("background", "ink"), [(255, 0), (0, 255), (200, 60), (40, 120), (20, 45)]
)
def test_light_on_dark_in_a_box_of_20_and_centered(tmp_path, background, ink):
    ((image,), _) = read(bar(background, ink), tmp_path)
    assert image.dtype == np.uint8
    assert ink_box(image) == (20, 10)
    np.testing.assert_array_equal(image[4:24, 10:20], 255)
    assert image.sum() == 255 * 200


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA", "CMYK"])
def test_modes(tmp_path, mode):
    name = "image.tif" if mode == "CMYK" else "image.png"
    np.testing.assert_array_equal(
        read(bar(255, 0).convert(mode), tmp_path, name).pixels, read(bar(255, 0), tmp_path).pixels
    )


@pytest.mark.parametrize("scale", [255, 4095, 65535, 0.02, 1, 255.0])
@pytest.mark.parametrize(("background", "ink"), [(10, 200), (230, 20)])
def test_levels_on_any_scale(tmp_path, scale, background, ink):
    """16-bit images of fewer bits, and floating-point images of any range."""
    levels = np.asarray(bar(background, ink)) / 255 * scale
    image = Image.fromarray(
        levels.astype(np.float32 if isinstance(scale, float) or scale == 1 else np.uint16)
    )
    expected = read(bar(background, ink), tmp_path).pixels
    np.testing.assert_array_equal(read(image, tmp_path, "image.tif").pixels, expected)


@pytest.mark.parametrize("shift", [0.2, 0.5, 1])
def test_floating_point_levels_below_0(shift, digits, tmp_path):
    levels = np.asarray(picture(clean(digits[0], dark=0)), np.float32) / 242
    np.testing.assert_allclose(
        read(Image.fromarray(levels - np.float32(shift)), tmp_path, "image.tif").pixels,
        read(Image.fromarray(levels), tmp_path, "image.tif").pixels,
        atol=1,
    )


def test_levels_that_are_no_numbers(tmp_path):
    levels = np.asarray(bar(10, 200), np.float32).copy()
    levels[3, 4] = np.nan
    with pytest.raises(
        CommandError, match="cannot be read as an image: it has pixels that are not finite numbers"
    ):
        read(Image.fromarray(levels), tmp_path, "image.tif")


@pytest.mark.parametrize("paper", [255, 0])
@pytest.mark.parametrize("scale", [1, 4])
def test_a_card_on_transparent_has_its_own_paper(paper, scale, tmp_path):
    """Its ink may be very little of it."""
    card = bar(paper, 255 - paper, size=(160 * scale, 120 * scale)).convert("RGBA")
    mask = Image.new("L", card.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle([4, 4, card.width - 5, card.height - 5], 20, fill=255)
    card.putalpha(mask)
    np.testing.assert_array_equal(read(card, tmp_path).pixels, read(bar(255, 0), tmp_path).pixels)


@pytest.mark.parametrize("light", [0, 140])
def test_ink_of_several_colors_on_transparent(light, tmp_path):
    image = Image.new("RGBA", (160, 120))
    draw = ImageDraw.Draw(image)
    for row, level in zip(range(30, 90, 20), (light, light + 50, light + 100), strict=True):
        draw.rectangle([20, row, 49, row + 19], fill=(level, level, level, 255))
    draw.line([70, 60, 110, 60], fill=(light, light, light, 255), width=20)
    ((image,), _) = read(image, tmp_path)
    assert ink_box(image) == (13, 20)
    assert (image > 60).sum() > 120


def test_faint_shadows_are_no_ink(tmp_path):
    image = bar(250, 20)
    ImageDraw.Draw(image).rectangle([120, 5, 150, 20], fill=225)
    assert ink_box(read(image, tmp_path).pixels[0]) == (20, 10)


def test_mass_in_the_middle_unless_there_is_no_room():
    lopsided = np.zeros((40, 40), np.float32)
    lopsided[:, :8] = 1
    lopsided[0] = 1
    image, _ = like_mnist(np.pad(lopsided, 3))
    rows, columns = np.nonzero(image)
    assert ink_box(image) == (20, 20)
    assert columns.min() == 8  # as far as it goes
    assert abs(np.average(rows, weights=image[rows, columns]) - 14) <= 2


@pytest.mark.parametrize("size", [(1, 60), (60, 1), (2, 2), (3, 500), (20, 20)])
def test_odd_sizes(tmp_path, size):
    """Half dark, half light: there is no telling what is ink, but nothing else happens."""
    levels = np.zeros(size[::-1], np.uint8)
    levels.flat[levels.size // 2 :] = 255
    with contextlib.suppress(CommandError):
        images = read(Image.fromarray(levels), tmp_path)
        assert images.pixels.max() == 255
        assert images.remarks


BLANK = {
    "one pixel": np.full((1, 1), 200),
    "one row": np.full((1, 50), 200),
    "28x28": np.full((28, 28), 200),
    "large": np.full((300, 300), 200),
    "black": np.zeros((50, 50)),
    "noise": 180 + 15 * NOISE,
    "uneven light": 230 * (1 - 0.5 * X),
}


@pytest.mark.parametrize("kind", BLANK)
def test_blank_images(kind, tmp_path):
    with pytest.raises(
        CommandError, match=r"image\.png is blank: no ink stands out from the paper"
    ):
        read(Image.fromarray(BLANK[kind].clip(0, 255).astype(np.uint8)), tmp_path)


def test_transparent_images_that_show_nothing(tmp_path):
    for image in (Image.new("RGBA", (50, 50)), Image.new("RGBA", (50, 50), (9, 9, 9, 128))):
        with pytest.raises(CommandError, match="is blank"):
            read(image, tmp_path)


def test_a_first_picture_that_is_blank(tmp_path):
    path = tmp_path / "animation.gif"
    Image.new("L", (160, 120), 255).save(path, save_all=True, append_images=[bar(255, 0)])
    with pytest.raises(
        CommandError, match="is blank: in the first of its 2 images, no ink stands out"
    ):
        read_images(str(path))


# Remarks


def remarks(image, tmp_path):
    return read(image, tmp_path).remarks


def test_no_remark_where_all_is_well(digits, tmp_path):
    for digit in digits:
        for variant in (
            "pencil",
            "light falling to 0.5",
            "noise",
            "ruled",
            "specks",
            "a phone's photo",
            "a sheet on a table",
            "white on transparent",
        ):
            assert remarks(VARIANTS[variant](digit), tmp_path) == ()


def test_remarks_on_what_may_be_no_digit(digits, tmp_path):
    digit = digits[2]
    tight = picture(on_paper(enlarged(digit)[30:-30, 30:-30]))
    assert remarks(tight, tmp_path) == ("the ink touches the edge of the image",)
    two = picture(np.concatenate([clean(digit), clean(digits[0])], axis=1))
    assert remarks(two, tmp_path) == ("2 separate parts were taken for one digit",)
    assert remarks(picture(clean(digit, paper=0.9, dark=0.8)), tmp_path) == ("the ink is faint",)
    assert "other marks were ignored" in remarks(VARIANTS["a table at one side"](digit), tmp_path)
    assert "the ink touches the edge of the image" in remarks(picture(ruled(0.5, 30)), tmp_path)
    assert "the ink touches the edge of the image" in remarks(picture(0.5 + 0.15 * NOISE), tmp_path)
    assert remarks(picture(on_paper(placed(np.ones((60, 60), np.float32)))), tmp_path) == (
        "the ink fills a rectangle",
    )


@pytest.fixture(scope="module")
def unsure(tmp_path_factory):
    """The file of a network that gives every digit the same probability."""
    model = nn.Sequential(nn.Linear(784, 10), seed=0)
    model[0].weight.data = np.zeros((784, 10))
    path = str(tmp_path_factory.mktemp("unsure") / "m.safetensors")
    model.save(path)
    return path


@pytest.mark.parametrize("form", ["line", "--json", "--picture"])
def test_predict_prints_remarks(form, digits, unsure, tmp_path, capsys):
    path = str(tmp_path / "two.png")
    picture(np.concatenate([clean(digits[0]), clean(digits[2])], axis=1)).save(path)
    assert main(["predict", unsure, path, *([] if form == "line" else [form])]) == 0
    captured = capsys.readouterr()
    expected = ["2 separate parts were taken for one digit", "the network is not sure"]
    if form == "--json":
        assert json.loads(captured.out)[0]["remarks"] == expected
        assert captured.err == ""
    else:
        assert captured.err == f"cnet: {path}: {'; '.join(expected)}\n"
        assert captured.out.endswith(f"{path}: 0 (10.0 %)\n")


def test_remarks_on_many_images_do_not_fill_the_screen(digits, unsure, tmp_path, capsys):
    path = str(tmp_path / "many.npy")
    np.save(path, np.repeat(digits, 20, axis=0))
    assert main(["predict", unsure, path]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[0] == f"cnet: {path}[0]: the network is not sure"
    assert lines[-1] == "cnet: 80 more predictions are doubtful: --json lists all remarks"


# What is no image


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "it looks like a HEIC photo: export it as JPEG or PNG",
        ),
        (b"\0\0\0\x18ftypmif1" + bytes(50), "it looks like a HEIC photo"),
        (
            b"<!DOCTYPE html><html>",
            "it looks like an HTML page: the download failed, download the file again",
        ),
        (
            b'<svg xmlns="http://www.w3.org/2000/svg">',
            "it looks like an SVG drawing: export it as PNG",
        ),
        (b"%PDF-1.7", "it looks like a PDF document: export the page as PNG"),
        (b"PK\x03\x04", "it looks like a zip archive"),
        (
            b"label,1x1\n5,0",
            "Pillow does not recognize it; expected an image, or a NumPy array (.npy)",
        ),
    ],
    ids=["HEIC", "HEIF", "HTML", "SVG", "PDF", "zip", "CSV"],
)
def test_other_kinds_of_files(content, problem, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(
        CommandError, match=re.escape(f"{path} cannot be read as an image: {problem}")
    ):
        read_images(str(path))


@pytest.mark.parametrize("name", ["-", os.devnull])
def test_standard_input_and_devices(name):
    with pytest.raises(
        CommandError,
        match="not a regular file; standard input and pipes are not supported: save the image to "
        "a file",
    ):
        read_images(name)


def test_more_pixels_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    for size in ((160, 120), (500, 400)):
        with pytest.raises(
            CommandError,
            match="it has more than 0 million pixels: make it smaller, 2000 pixels on a side are "
            "enough",
        ):
            read(bar(255, 0, size=size), tmp_path)


def test_a_large_jpeg_is_read_at_a_fraction_of_its_size(tmp_path, monkeypatch):
    bar(255, 0).resize((8000, 6000)).save(tmp_path / "large.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000_000)
    ((image,), _) = read_images(str(tmp_path / "large.jpg"))
    assert ink_box(image) == (20, 10)


@pytest.mark.parametrize("module", ["PIL", "scipy"])
def test_a_missing_library_says_what_to_install(module, tmp_path, monkeypatch):
    bar(255, 0).save(tmp_path / "image.png")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CommandError, match=re.escape('pip install "cnet[image]"')):
        read_images(str(tmp_path / "image.png"))
