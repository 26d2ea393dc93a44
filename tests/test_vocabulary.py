"""Words that must not come back into code and text, see docs/development/style.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    r"\w*(optimis|normalis|initialis|minimis|maximis|standardis|recognis)\w*": "write -ize",
    r"(?<!ndimage\.)\bgrey\w*": "gray",
    r"\bcolou?urs?\b|\bcolour\w*": "color",
    r"\bcentred?\b": "center",
    r"\bbehaviour\b": "behavior",
    r"\bneighbour\w*": "neighbor",
    r"\blabelled\b": "labeled",
    r"\brightly\b": "correctly",
    r"\banew\b|\bafresh\b": "again, or from the start",
    r"\b(go|goes|gone|going) on (from|with)\b": "continue",
    r"\bof your own\b|\bsettings of their own\b": "custom, or your own",
    r"\brefuse[sd]?\b": "reject, or raise",
    r"\bnets in nets\b": "nested networks",
}
FILES = "cnet/**/*.py", "cnet/**/*.p[xy]*", "cnet/**/*.[ch]", "docs/*.md", "*.md", "examples/*.py"

pytestmark = pytest.mark.skipif(
    not (ROOT / "cnet").exists(), reason="the sources are not beside the tests"
)


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=FORBIDDEN.values())
def test_words_that_must_not_come_back(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for files in FILES
        for path in ROOT.glob(files)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert not found, f"write: {FORBIDDEN[pattern]}"
