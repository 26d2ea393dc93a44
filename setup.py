"""Build of the compiled core; everything declarative is in pyproject.toml.

Environment:

CNET_LIMITED_API=1    one binary for CPython 3.11 and later (abi3); ignored on free-threaded builds,
which have no abi3 CNET_NO_OPENMP=1      serial build, as happens by itself where the compiler has
no OpenMP CNET_DEBUG_CYTHON=1   bounds, None and initialization checks in the Cython loops
CNET_EMULATE_AVX512=1 AVX-512 kernels through SIMDe's portable intrinsics (Debian: libsimde-dev), to
test them anywhere

Each combination builds in its own folder under build/; a build in place (build_ext --inplace) needs
--force after a change of them.
"""

import os
import platform
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

CORE = Path("cnet/_core")


def flag(name):
    return os.environ.get(name, "0") not in ("", "0")


ABI3 = flag("CNET_LIMITED_API") and not sysconfig.get_config_var("Py_GIL_DISABLED")
DEBUG = flag("CNET_DEBUG_CYTHON")
EMULATE_AVX512 = flag("CNET_EMULATE_AVX512")

FLAGS = ("LIMITED_API", "NO_OPENMP", "DEBUG_CYTHON", "EMULATE_AVX512")
# setuptools looks at dates alone: in a shared folder, a build with other flags would find
# everything up to date.
BUILD = "-".join(["build/cnet", *(name.lower() for name in FLAGS if flag(f"CNET_{name}"))])

if sys.platform == "darwin":
    # python.org's interpreters would build for two processors at once; one set of intrinsics does
    # not fit both.
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")

AVX2 = (["-mavx2", "-mfma"], ["/arch:AVX2"])
AVX512 = (
    [
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mpopcnt"),
        "-mprefer-vector-width=512",
    ],
    ["/arch:AVX512"],
)
EMULATED = ([*AVX2[0], "-O1"], [])  # at -O3 a compiler spends minutes on it

# Machine -> instruction sets, each with its flags for GCC-like compilers and for MSVC. The baseline
# of x86-64, for processors of before 2013, is compiled for size: a few percent slower, and a third
# smaller.
ISAS = {
    "x86_64": {
        "BASELINE": (["-Os"], []),
        "AVX2": AVX2,
        "AVX512": EMULATED if EMULATE_AVX512 else AVX512,
    },
    "arm64": {"NEON": ([], [])},
    "other": {"BASELINE": ([], [])},
}


def machine():
    name = sysconfig.get_platform().rsplit("-", 1)[-1].lower()
    name = platform.machine().lower() if name == "universal2" else name
    return {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}.get(
        name, "other"
    )


def isas():
    found = dict(ISAS[machine()])
    if sys.platform == "darwin":
        found.pop("AVX512", None)  # Apple's assembler and most Intel Macs do without
    return found


class BuildExt(build_ext):
    """Chooses flags once the compiler is known, and compiles kernels/kernels.c once per instruction
    set and type.
    """

    def build_extensions(self):
        msvc = self.compiler.compiler_type == "msvc"
        if msvc:
            self.common, self.openmp, self.openmp_link = ["/O2", "/std:c11"], ["/openmp"], []
            self.kernels, self.loops = [], []
        else:
            # Nothing unwinds through this code: it is C, and calls only C.
            self.common = [
                "-g0",
                "-std=c11",
                "-fvisibility=hidden",
                "-fno-asynchronous-unwind-tables",
            ]
            # No contraction: a multiply-add is fused where the kernels say so and nowhere else.
            self.common += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
            # Kernels unroll what is worth it by themselves; what Cython makes hands them the work.
            # At -O3 the wheel is a third larger.
            self.kernels, self.loops = ["-O2", "-ftree-vectorize", "-fno-align-functions"], ["-Os"]
            if "-fsanitize" in os.environ.get("CFLAGS", ""):
                self.kernels = self.loops = ["-O1"]  # at -O2 a compiler spends minutes on them
            self.openmp, self.openmp_link = ["-fopenmp"], ["-fopenmp"]
            if (
                sys.platform == "darwin"
            ):  # Apple's Clang knows OpenMP but ships no runtime: libomp comes from elsewhere
                self.openmp, self.openmp_link = ["-Xpreprocessor", "-fopenmp"], ["-lomp"]
        if not self.has_openmp():
            if flag("CIBUILDWHEEL"):
                raise RuntimeError(
                    "this compiler cannot build OpenMP programs, and wheels must not be serial"
                )
            self.openmp, self.openmp_link = [], []
        self.parallel = self.parallel or os.cpu_count()
        for ext in self.extensions:
            ext.extra_compile_args += self.common + self.loops + self.openmp
            ext.extra_link_args += self.openmp_link
        super().build_extensions()

    def has_openmp(self):
        if flag("CNET_NO_OPENMP"):
            return False
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(
                "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
            )
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=self.openmp
                )
                # Linked as an extension is: setuptools hands LDFLAGS, where libomp's folder stands,
                # to no executable.
                self.compiler.link_shared_object(
                    objects, str(Path(folder, "probe.so")), extra_postargs=self.openmp_link
                )
            except (CompileError, LinkError):
                print("cnet: no OpenMP here, building a serial core", file=sys.stderr)
                return False
        return True

    def get_source_files(self):
        """What goes into the sdist: .pyx files and not the C made of them, which depends on this
        file's flags; licenses of what wheels bundle; tests.
        """
        patterns = (
            "cnet/_core/*.p[yx]*",
            "cnet/_core/bindings/*.pxi",
            "cnet/_core/kernels/*.[ch]",
            "licenses/*.txt",
            "tests/**/*.*",
        )
        return sorted(
            path.as_posix()
            for pattern in patterns
            for path in Path().glob(pattern)
            if "__pycache__" not in path.parts
        )

    def build_extension(self, ext):
        if ext.name == "cnet._core._isa" and (
            self.force
            or newer_group([*ext.sources, *ext.depends], self.get_ext_fullpath(ext.name), "newer")
        ):
            with ThreadPoolExecutor(self.parallel) as pool:
                compiling = [
                    pool.submit(self.compile_kernels, isa, real, ext.depends)
                    for isa in isas()
                    for real in ("f32", "f64")
                ]
            for objects in compiling:
                ext.extra_objects += objects.result()
        super().build_extension(ext)

    def compile_kernels(self, isa, real, depends):
        macros = [(f"CNET_ISA_{isa}", "1")]
        if real == "f64":
            macros.append(("CNET_F64", "1"))
        if EMULATE_AVX512 and isa == "AVX512":
            macros.append(("CNET_EMULATE", "1"))
        flags = isas()[isa][self.compiler.compiler_type == "msvc"]
        folder = str(Path(self.build_temp, f"{isa.lower()}_{real}"))
        return self.compiler.compile(
            [str(CORE / "kernels/kernels.c")],
            output_dir=folder,
            macros=macros,
            depends=depends,
            extra_postargs=self.common + self.kernels + flags,
        )


def extensions():
    Options.docstrings = False
    limited = [("Py_LIMITED_API", "0x030B0000")] if ABI3 else []
    depends = sorted(
        str(path)
        for pattern in ("*.pxd", "bindings/*.pxi", "kernels/*")
        for path in CORE.glob(pattern)
    )

    def extension(name, *more_sources, macros=()):
        sources = [str(CORE / f"{name}.pyx"), *map(str, more_sources)]
        return Extension(
            f"cnet._core.{name}",
            sources,
            depends=depends,
            define_macros=[*limited, *macros],
            py_limited_api=ABI3,
            include_dirs=[str(CORE)],
        )

    have = [(f"CNET_HAVE_{isa}", "1") for isa in isas()]
    emulate = [("CNET_EMULATE_AVX512", "1")] if EMULATE_AVX512 else []
    modules = [
        extension("_isa", CORE / "kernels/isa.c", macros=have + emulate),
        extension("_threads"),
        extension("_float32"),
        extension("_float64", macros=[("CNET_F64", "1")]),
        Extension(
            "cnet._core._cyutility",
            [str(CORE / "_cyutility.c")],
            define_macros=limited,
            py_limited_api=ABI3,
        ),
    ]
    return cythonize(
        modules,
        build_dir=BUILD,
        shared_utility_qualified_name="cnet._core._cyutility",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "initializedcheck": DEBUG,
            "nonecheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            # functions of a private module: without what Python keeps for introspection it is a
            # tenth smaller
            "binding": False,
            "freethreading_compatible": True,
        },
    )


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildExt},
    options={
        "build": {"build_base": BUILD},
        **({"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {}),
    },
)
