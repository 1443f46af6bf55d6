"""Builds against `docker build`: what is sent, how soon it is known that nothing need be."""
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from measure import hoist, medians, memory_row, peak_memory, ratio_row, timed

FILES, SIZE = 20_000, 10_000
LABEL = "org.example.hoist-bench"
# The mass is mounted and not copied: copying is the engine's work, the same for all, and it would
# keep a layer of each build.
DOCKERFILE = """FROM debian:bookworm-slim
RUN --mount=type=bind,source=vendor,target=/vendor ls /vendor | wc -l > /count
COPY app /app
"""
PIPELINE = f"""name = "bench"
[steps.image.build]
labels = {{ "{LABEL}" = "1" }}
"""


def tree(folder):
    """A context of 20,000 files and 200 MB, a few of which change often, and some that no instruction names."""
    source = random.Random(1)
    for number in range(FILES):
        path = Path(folder, "vendor", str(number % 200), f"{number}.bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(SIZE))
    for name in ("app/main.txt", "docs/notes.txt"):
        Path(folder, name).parent.mkdir()
        Path(folder, name).write_text(name)
    Path(folder, "Dockerfile").write_text(DOCKERFILE)
    Path(folder, ".dockerignore").write_text(".hoist\n")
    Path(folder, "pipeline.toml").write_text(PIPELINE)


def unchanged(folder):
    pass


def fresh_clone(folder):
    """The same contents, nothing else kept: neither times, nor what hoist knows."""
    clone = f"{folder}.clone"
    shutil.rmtree(Path(folder, ".hoist"), ignore_errors=True)
    shutil.copytree(folder, clone, copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    os.rename(clone, folder)


def used_file(folder):
    Path(folder, "app/main.txt").write_text(random.randbytes(16).hex())


def unused_file(folder):
    Path(folder, "docs/notes.txt").write_text(random.randbytes(16).hex())


def all_files(folder):
    for path in Path(folder, "vendor").glob("*/*"):
        with open(path, "r+b") as file:
            file.write(random.randbytes(16))


# What is done to the context before each build, what of it is the row's, rounds, and the bound.
ROWS = [
    ("nothing changed, digest known", unchanged, 15, 0.3),
    ("nothing changed, fresh clone", fresh_clone, 5, 0.8),
    ("one used file changed", used_file, 15, 0.9),
    ("one unused file changed", unused_file, 15, 0.9),
    ("first build, 200 MB sent", all_files, 5, 1.0),
]


def peers():
    """Docker's own ways to build with BuildKit, by name."""
    found = {}
    for folder in os.environ["PATH"].split(":"):
        docker = Path(folder, "docker")
        if not docker.is_file():
            continue
        version = subprocess.run([docker, "--version"], capture_output=True, text=True).stdout
        words = version.removeprefix("Docker version ").split(".")
        # From version 23 on it asks a plugin.
        if words[0].isdigit() and 18 <= int(words[0]) < 23:
            found["docker build"] = [docker, "build"]
            break
    buildx = os.environ.get("HOIST_GROUND_BUILDX")
    if buildx:
        found["docker buildx"] = [buildx, "build"]
    if not found:
        raise SystemExit("bench: nothing here builds with BuildKit: tests/ground/buildx provides what does")
    return found


def bench_builds():
    environment = os.environ | {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    with tempfile.TemporaryDirectory() as root:
        folders = {"hoist": Path(root, "hoist")}
        tree(folders["hoist"])
        commands = peers()
        for name in commands:
            folders[name] = Path(root, name.replace(" ", "-"))
            shutil.copytree(folders["hoist"], folders[name])

        def build(name, prepare):
            folder = folders[name]
            prepare(folder)
            # What was written is on the disk before the clock starts.
            os.sync()
            if name == "hoist":
                return hoist(folder)
            command = [*commands[name], "--quiet", "--label", f"{LABEL}=1", folder]
            return timed(command, env=environment)

        try:
            for what, prepare, count, bound in ROWS:
                measurements = [lambda name=name: build(name, prepare) for name in folders]
                ours, *theirs = medians(count, *measurements)
                for name, their in zip(commands, theirs):
                    ratio_row(f"{what} / {name}", ours, their, bound)
                prepare(folders["hoist"])
                memory_row(what, peak_memory(folders["hoist"]))
        finally:
            remove_images()


def remove_images():
    listed = subprocess.run(
        ["docker", "image", "ls", "--quiet", "--no-trunc", "--filter", f"label={LABEL}"], capture_output=True, text=True
    )
    ids = sorted(set(listed.stdout.split()))
    if ids:
        subprocess.run(["docker", "image", "rm", "--force", *ids], capture_output=True)
