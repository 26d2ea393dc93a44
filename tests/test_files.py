"""Files that are written: what is there already survives, and every failure leaves the old file or
the new one, and nothing else.
"""

import errno
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from interpreter import python

import cnet
from cnet import nn, optim
from cnet._utils import files as _files
from cnet.callbacks import ModelCheckpoint

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files and signals")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may do that")


def net(seed=0):
    return nn.Sequential(nn.Linear(3, 2), seed=seed)


def trainer(seed=0):
    model = net(seed)
    return cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1, momentum=0.9))


def by_callback(path, seed):
    trainer(seed).fit(
        np.eye(3), np.ones((3, 2)), seed=0, callbacks=[ModelCheckpoint(path)], verbose=False
    )


WRITERS = {
    "model": lambda path, seed=0: net(seed).save(path),
    "checkpoint": lambda path, seed=0: trainer(seed).save_checkpoint(path),
    "callback": lambda path, seed=0: by_callback(path, seed),
    "ONNX": lambda path, seed=0: cnet.to_onnx(net(seed), path),
}


@pytest.fixture(params=WRITERS)
def write(request):
    """All that writes files whole."""
    if request.param == "ONNX":
        pytest.importorskip("onnx")
    return WRITERS[request.param]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m"


# What is there already


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o200, 0o755])
def test_a_file_keeps_its_mode(write, mode, path):
    write(path)
    path.chmod(mode)
    before = os.umask(0o077)
    try:
        write(path, 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.listdir(path.parent) == ["m"]


@posix
def test_a_private_file_is_private_while_it_is_written(path, monkeypatch):
    path.write_bytes(b"")
    path.chmod(0o600)
    modes = []
    write = os.write
    monkeypatch.setattr(
        os,
        "write",
        lambda fd, content: (modes.append(stat.S_IMODE(os.fstat(fd).st_mode)), write(fd, content))[
            1
        ],
    )
    net().save(path)
    assert {*modes} == {0o600}


@root
def test_a_file_keeps_its_owner_and_group(write, path):
    write(path)
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    write(path, 1)
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o640)


@posix
@pytest.mark.parametrize(
    ("before", "after"),
    [(0o664, 0o644), (0o671, 0o611), (0o666, 0o666), (0o740, 0o700), (0o6755, 0o755)],
)
def test_where_the_group_cannot_be_kept_another_one_gets_no_more_than_others(
    before, after, path, monkeypatch
):
    net().save(path)
    path.chmod(before)
    status = list(path.stat())
    status[5] += 1  # of a group that this process is not in
    chown = []
    monkeypatch.setattr(os, "fchown", lambda fd, *ids: (chown.append(ids), fail(errno.EPERM))[1])
    monkeypatch.setattr(_files, "_status", lambda path: os.stat_result(status))
    net(1).save(path)
    assert chown == [(status[4], -1), (-1, status[5])]
    assert stat.S_IMODE(path.stat().st_mode) == after


def test_a_file_keeps_its_attributes(path):
    net().save(path)
    try:
        os.setxattr(path, "user.note", b"the best one")
    except (AttributeError, OSError) as error:
        pytest.skip(f"this file system keeps no attributes: {error}")
    net(1).save(path)
    assert os.getxattr(path, "user.note") == b"the best one"


@pytest.mark.parametrize("mode", [0o444, 0o400])
def test_a_read_only_file_is_not_replaced(write, mode, path):
    write(path)
    content = path.read_bytes()
    path.chmod(mode)
    with pytest.raises(
        PermissionError,
        match=r"the file is read-only: make it writable, or choose another name: '.*m'",
    ):
        write(path, 1)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["m"]


@posix
def test_hard_links_stay_together(write, tmp_path):
    path, other = tmp_path / "m", tmp_path / "best"
    write(path)
    long = path.read_bytes() * 3
    path.write_bytes(long)
    os.link(path, other)
    write(path, 1)
    assert path.samefile(other)
    content = path.read_bytes()
    path.unlink()
    write(path, 1)
    assert path.read_bytes() == content, "the file is shortened to what was written"


@posix
def test_a_link_to_a_link_stays(write, tmp_path):
    write(tmp_path / "m1")
    (tmp_path / "m2").symlink_to("m1")
    (tmp_path / "m3").symlink_to("m2")
    content = (tmp_path / "m1").read_bytes()
    write(tmp_path / "m3", 1)
    assert os.readlink(tmp_path / "m3") == "m2"
    assert os.readlink(tmp_path / "m2") == "m1"
    assert (tmp_path / "m1").read_bytes() != content
    assert sorted(os.listdir(tmp_path)) == ["m1", "m2", "m3"]


@posix
def test_what_goes_to_a_pipe_is_read_from_it(write, path, tmp_path):
    write(tmp_path / "file", 1)
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    write(path, 1)
    reader.join(30)
    assert read == [(tmp_path / "file").read_bytes()]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["file", "m"]


@posix
def test_a_pipe_that_nobody_reads_is_an_error(path, monkeypatch):
    monkeypatch.setattr(_files, "_PATIENCE", 0.05)
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"no program reads from this pipe: '.*m'"):
        net().save(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


@posix
def test_standard_output_gets_the_content(path):
    code = "from cnet import nn\nnn.Sequential(nn.Linear(3, 2), seed=0).save('/dev/stdout')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=120, check=True
    )
    net().save(path)
    assert done.stdout == path.read_bytes()


@pytest.fixture
def device(path):
    """A function that makes a device of this test's own: code that replaces one by a file must not
    do so to the system's.
    """

    def make(minor):
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            path.open("rb").close()
        except (AttributeError, OSError) as error:
            pytest.skip(f"devices cannot be made here: {error}")
        return path

    return make


def test_a_device_stays_one(write, device):
    null = device(3)
    write(null)
    assert stat.S_ISCHR(null.stat().st_mode)
    assert os.listdir(null.parent) == ["m"]


def test_a_full_device_is_an_error(write, device):
    full = device(7)
    with pytest.raises(OSError, match=r"No space left on device: '.*m'"):
        write(full)
    assert stat.S_ISCHR(full.stat().st_mode)


@posix
def test_a_socket_is_rejected(write, path, monkeypatch):
    monkeypatch.chdir(path.parent)  # addresses are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)
        with pytest.raises(OSError, match=r"it is a socket, expected a file: '.*m'"):
            write(path)
    assert stat.S_ISSOCK(path.stat().st_mode)


# Paths


def test_a_missing_folder_is_found_out_before_any_work(write, path, monkeypatch):
    monkeypatch.setattr(nn.Module, "state_dict", lambda self: pytest.fail("work was done"))
    target = path / "deeper" / "best.safetensors"
    with pytest.raises(
        FileNotFoundError,
        match=r"there is no folder '.*deeper': create it first: '.*best\.safetensors'",
    ) as caught:
        write(target)
    assert caught.value.filename == str(target)


def test_a_folder_is_no_file(write, path):
    path.mkdir()
    for target in (path, f"{path}{os.sep}", os.path.join(path, "new", "")):
        with pytest.raises(
            IsADirectoryError, match=r"it is a folder, expected a file|it names no file"
        ):
            write(target)
    with pytest.raises(FileNotFoundError, match="it names no file: ''"):
        write("")
    assert os.listdir(path) == []


def test_a_file_is_no_folder(write, path):
    path.write_bytes(b"")
    with pytest.raises(OSError, match="m2'") as caught:
        write(path / "m2")
    assert caught.value.filename == str(path / "m2")


def test_the_home_folder_may_be_short(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write("~/m")
    write(Path("~") / "m2")
    assert sorted(os.listdir(tmp_path)) == ["m", "m2"]
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'"):
        write("~/nowhere/m")


def test_what_is_read_may_be_in_a_short_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    net(3).save("~/m")
    np.testing.assert_array_equal(cnet.load("~/m")[0].weight.data, net(3)[0].weight.data)
    one, other = trainer(), trainer()
    one.fit(np.eye(3), np.ones((3, 2)), verbose=False)
    one.save_checkpoint("~/c")
    other.load_checkpoint("~/c")
    assert other.epoch == 1
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        cnet.load("~/nothing")


# Failures


def fail(number):
    raise OSError(number, os.strerror(number))


CALLS = [
    "open",
    "write",
    "fsync",
    "fchmod",
    "fchown",
    "replace",
    "ftruncate",
    "lseek",
    "stat",
    "scandir",
]


def unless_it_is_its_turn(calls, failing, number, call, *args, **kwargs):
    return fail(number) if next(calls) == failing else call(*args, **kwargs)


@posix
@pytest.mark.parametrize("state", ["new", "old", "hard link"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_whichever_call_fails_the_old_file_or_the_new_one_is_there(
    state, number, path, monkeypatch
):
    """The first call of the operating system fails, then the second, and so on until saving
    succeeds.
    """
    net(1).save(path)
    new = path.read_bytes()
    old = None
    other = path.with_name("other")
    failed = 0
    while True:
        path.unlink(missing_ok=True)
        if state != "new":
            net(0).save(path)
            old = path.read_bytes()
        if state == "hard link":
            other.unlink(missing_ok=True)
            os.link(path, other)
        calls = itertools.count()
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(
                    os,
                    name,
                    partial(unless_it_is_its_turn, calls, failed, number, getattr(os, name)),
                )
            try:
                net(1).save(path)
                error = None
            except OSError as caught:
                error = caught
        content = path.read_bytes() if path.exists() else None
        assert content == new if error is None else content in (old, new)
        assert error is None or (error.errno, error.filename) in (
            (number, str(path)),
            (number, None),
        )
        assert os.listdir(path.parent) == [
            name for name in os.listdir(path.parent) if name in ("m", "other")
        ]
        if next(calls) <= failed:
            break
        failed += 1
    assert error is None
    assert failed >= {"new": 5, "old": 8, "hard link": 6}[state]
    assert state != "hard link" or path.samefile(other)


@posix
def test_a_write_may_be_short(path, monkeypatch):
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda fd, content: write(fd, content[: max(1, len(content) // 2)])
    )
    net().save(path)
    monkeypatch.undo()
    np.testing.assert_array_equal(cnet.load(path)[0].weight.data, net()[0].weight.data)


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_an_interruption_leaves_the_old_file(step, path, monkeypatch):
    net().save(path)
    content = path.read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        net(1).save(path)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["m"]


@posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_is_no_failure(write, call, number, path, monkeypatch):
    original = getattr(os, call)

    def of_folders(target, *args, **kwargs):
        if stat.S_ISDIR(os.stat(target).st_mode if os.path.exists(target) else 0):
            fail(number)
        return original(target, *args, **kwargs)

    monkeypatch.setattr(os, call, of_folders)
    write(path)
    assert os.listdir(path.parent) == ["m"]


UNPRIVILEGED = """
import os, sys
from cnet import nn
folder = sys.argv[1]
model = nn.Sequential(nn.Linear(3, 2), seed=0)
model.save(os.path.join(os.path.dirname(folder), "first"))  # brings all modules that are needed
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(54321)
    os.setuid(54321)
model.save(os.path.join(folder, "m"))
"""


@posix
@pytest.mark.parametrize(
    ("mode", "error"), [(0o333, None), (0o555, "is not writable"), (0o666, "Permission denied")]
)
def test_folders_with_few_permissions(mode, error):
    """Without the rights of root: one may write into a folder that may not be listed."""
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = os.path.join(parent, "folder")
        os.mkdir(folder)
        os.chmod(folder, mode)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, folder],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        os.chmod(folder, 0o755)
        assert done.returncode == (0 if error is None else 1), done.stderr
        assert error is None or (error in done.stderr and ".cnet-" not in done.stderr)
        assert os.listdir(folder) == (["m"] if error is None else [])


# Temporary files


@posix
@pytest.mark.parametrize(
    "name",
    ["m", "epoch-01.safetensors", "ü 模型" * 20, "x" * 255],
    ids=["short", "epoch", "Unicode", "255 characters"],
)
def test_temporary_files_of_a_killed_process_are_removed_by_the_next_save(name, tmp_path):
    code = (
        "import os, signal, sys\nfrom cnet import nn\nos.fsync = lambda fd: os.kill(os.getpid(), "
        "signal.SIGKILL)\nnn.Linear(3, 2, seed=0).save(sys.argv[1])"
    )
    for i in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], timeout=120, check=False
        )
        assert done.returncode == -signal.SIGKILL
        (left,) = os.listdir(tmp_path)
        assert i or left.startswith(f".{name[:20]}")
    net().save(tmp_path / "another")
    assert sorted(os.listdir(tmp_path)) == sorted([left, "another"])
    net().save(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "another"])


def test_files_of_others_are_not_removed(tmp_path):
    names = [
        ".m.cnet-notes",
        ".m.cnet-0123456789ab.bak",
        ".m2.cnet-0123456789ab",
        "m.cnet-0123456789ab",
        ".cnet-0123456789ab",
        ".m.cnet-",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".m.cnet-0123456789aa").mkdir()
    net().save(tmp_path / "m")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, ".m.cnet-0123456789aa", "m"])


@pytest.mark.parametrize(("age", "stays"), [(60, True), (100_000, False)])
def test_without_locks_the_age_tells(age, stays, path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", lambda *args: fail(errno.ENOTSUP))
    left = path.with_name(".m.cnet-0123456789ab")
    left.write_bytes(b"")
    os.utime(left, (left.stat().st_mtime - age,) * 2)
    net().save(path)
    assert left.exists() == stays
    assert path.exists()


def test_without_fcntl_as_on_windows_a_file_is_replaced_and_nothing_is_left(path):
    net().save(path)
    path.with_name(".m.cnet-0123456789ab").write_bytes(b"")
    saving = f"""
import sys
sys.modules["fcntl"] = None
from cnet import nn
nn.Sequential(nn.Linear(3, 2), seed=1).save({str(path)!r})
"""
    python(saving)
    assert os.listdir(path.parent) == [path.name]
    weight = cnet.load(path)[0].weight.data
    np.testing.assert_array_equal(weight, net(1)[0].weight.data)


SAVING = """
import sys
from cnet import nn

model = nn.Linear(30, 20, seed=int(sys.argv[2]))
for _ in range(150):
    model.save(sys.argv[1])
"""


@posix
def test_processes_and_threads_that_save_under_one_name_do_not_disturb_each_other(path):
    """Nobody takes the temporary file of a living one for one that was left over."""
    models = [nn.Linear(30, 20, seed=seed) for seed in range(4)]
    others = [
        subprocess.Popen(
            [sys.executable, "-c", SAVING, str(path), str(seed)], stderr=subprocess.PIPE, text=True
        )
        for seed in (0, 1)
    ]
    errors = []

    def save(model):
        try:
            for _ in range(150):
                model.save(path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=[model]) for model in models[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for other in others:
        assert other.communicate(timeout=120)[1] == ""
        assert other.returncode == 0
    assert not errors
    assert os.listdir(path.parent) == ["m"]
    weights = cnet.load(path).weight.data
    assert any(np.array_equal(weights, model.weight.data) for model in models)
