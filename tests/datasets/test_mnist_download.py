"""Downloads, from servers on this machine: what a good mirror brings, and what comes of bad
ones.
"""

import gzip
import hashlib
import http.server
import re
import sys
import threading

import numpy as np
import pytest

from cnet import datasets
from cnet.datasets import _download

TRUNCATED, ENDLESS = "truncated", "endless"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves what its server holds: bytes, or one of the faults above, or 404."""

    def do_GET(self):
        self.server.requests.append(self.path)
        content = self.server.content.get(self.path.rsplit("/", 1)[-1])
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        if content == TRUNCATED:
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(10))
        elif content == ENDLESS:
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                self.server.hung_up.set()
        else:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """Start a server; its URL is a mirror's."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(content):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.content, server.requests, server.hung_up = content, [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def good(files, few, monkeypatch):
    """The content of a good mirror, which `_download.FILES` describes for the test."""
    content = {
        f"{name}.gz": gzip.compress(files.idx_bytes(array))
        for name, array in zip(files.idx_names, few, strict=True)
    }
    described = {
        name.removesuffix(".gz"): _download.RemoteFile(len(data), hashlib.sha256(data).hexdigest())
        for name, data in content.items()
    }
    monkeypatch.setattr(_download, "FILES", described)
    return content


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that MNIST is downloaded to."""
    monkeypatch.setenv("CNET_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "mnist"


def use(monkeypatch, *servers):
    monkeypatch.setattr(_download, "MIRRORS", tuple(server.url for server in servers))


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_good_mirror(mirror, good, folder, few, monkeypatch):
    server = mirror(good)
    use(monkeypatch, server)
    for _ in range(2):
        data = datasets.mnist(validation=1, normalize=False)
        np.testing.assert_array_equal(data.train.x, few.train_images[:5].reshape(5, 784))
        np.testing.assert_array_equal(data.test.y, few.test_labels)
    assert held(folder) == good
    assert sorted(server.requests) == sorted(f"/mnist/{name}" for name in good), (
        "each file is fetched once"
    )


def test_only_what_is_missing_is_fetched_and_nothing_is_overwritten(
    mirror, good, folder, files, few, monkeypatch
):
    server = mirror(good)
    use(monkeypatch, server)
    folder.mkdir(parents=True)
    own = files.idx_bytes(few.train_images[::-1])
    (folder / files.idx_names[0]).write_bytes(own)
    data = datasets.mnist(validation=0, normalize=False)
    np.testing.assert_array_equal(data.train.x, few.train_images[::-1].reshape(-1, 784))
    assert (folder / files.idx_names[0]).read_bytes() == own
    assert len(server.requests) == 3


def test_other_formats_spare_the_download(mirror, good, folder, files, few, monkeypatch):
    server = mirror(good)
    use(monkeypatch, server)
    files.csv(folder, few)
    assert len(datasets.mnist(validation=0, normalize=False).train.x) == 6
    assert not server.requests


@pytest.mark.parametrize("fault", ["down", "404", "wrong", TRUNCATED, "short", ENDLESS])
def test_a_bad_mirror_is_passed_over(fault, mirror, good, folder, monkeypatch):
    wrong = {"down": {}, "404": {}, "wrong": {name: data[::-1] for name, data in good.items()}}
    wrong["short"] = {name: data[:-1] for name, data in good.items()}
    bad = mirror(wrong.get(fault, dict.fromkeys(good, fault)))
    if fault == "down":
        bad.shutdown()
        bad.server_close()
    use(monkeypatch, bad, mirror(good))
    assert len(datasets.mnist(validation=0, normalize=False).train.x) == 6
    assert held(folder) == good
    if fault == ENDLESS:
        assert bad.hung_up.wait(10), "the endless download was broken off"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (None, r"404 Client Error"),
        (b"another file", r"does not match the known hash"),
        (TRUNCATED, r"IncompleteRead|does not match the known hash"),
        (ENDLESS, r"sends more than the \d+ bytes of this file"),
    ],
)
def test_no_good_mirror_is_one_error_with_the_way_to_do_without(
    fault, reason, mirror, good, folder, monkeypatch
):
    content = {name: data for name, data in good.items() if "images" not in name}
    first = mirror(
        content if fault is None else content | dict.fromkeys(good.keys() - content.keys(), fault)
    )
    second = mirror({})
    use(monkeypatch, first, second)
    with pytest.raises(OSError, match=r"could not download train-images-idx3-ubyte\.gz") as caught:
        datasets.mnist()
    message = str(caught.value)
    assert re.search(f"{re.escape(first.url)}: .*({reason})", message)
    assert re.search(f"{re.escape(second.url)}: .*404", message)
    assert f"into {folder}" in message
    for name in good:
        assert name in message
    assert not held(folder), "nothing half-written is left"


def test_files_that_arrived_stay(mirror, good, folder, files, monkeypatch):
    last = f"{files.idx_names[3]}.gz"
    use(monkeypatch, mirror({name: data for name, data in good.items() if name != last}))
    with pytest.raises(OSError, match="could not download t10k-labels"):
        datasets.mnist()
    assert held(folder) == {name: data for name, data in good.items() if name != last}
    server = mirror(good)
    use(monkeypatch, server)
    assert len(datasets.mnist(validation=0, normalize=False).test.x) == 2
    assert server.requests == [f"/mnist/{last}"]


def test_a_file_in_the_folders_place(good, folder):
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(FileExistsError):
        datasets.mnist()


def test_without_pooch_the_message_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    install = r'.*pip install "cnet\[download\]".*path='
    with pytest.raises(ModuleNotFoundError, match=r"no MNIST files in .*mnist, " + install):
        datasets.mnist()
    assert not folder.exists()
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv("CNET_DATA")
        else:
            monkeypatch.setenv("CNET_DATA", value)
        with pytest.raises(ModuleNotFoundError, match=r"CNET_DATA, .* is not set, " + install):
            datasets.mnist()


def test_the_users_cache_folder_is_the_default(files, few, tmp_path, monkeypatch):
    import pooch

    monkeypatch.delenv("CNET_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    files.idx(tmp_path / "cnet" / "mnist", few)
    assert len(datasets.mnist(validation=0, normalize=False).train.x) == 6


def test_the_canonical_files():
    assert list(_download.FILES) == list(_download.NAMES)
    assert [file.size for file in _download.FILES.values()] == [9912422, 28881, 1648877, 4542]
    assert [file.sha256[:8] for file in _download.FILES.values()] == [
        "440fcabf",
        "3552534a",
        "8d422c7b",
        "f7ae60f9",
    ]
    assert all(len(file.sha256) == 64 for file in _download.FILES.values())
    assert len(_download.MIRRORS) >= 2
    assert all(
        mirror.startswith("https://") and mirror.endswith("/") for mirror in _download.MIRRORS
    )
