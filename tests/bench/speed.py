"""Runs of steps: a chain, side by side, many cells, nothing to do, and a line that never ends."""
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from engine_api import run_containers
from measure import HOIST, ROOT, hoist, medians, peak_memory, ratio_row, row, say, timed

IMAGE = "debian:bookworm-slim"
STEPS, CELLS, JOBS = 10, 100, 4


def write(folder, steps):
    """A pipeline whose steps no earlier run has done: each has a value of its own."""
    round_ = random.randbytes(8).hex()
    body = 'image = "{}"\nsource = false\nenvironment = {{ ROUND = "{}" }}\n'.format(IMAGE, round_)
    text = "".join(f"[steps.{name}]\n{body}{more}\n" for name, more in steps)
    Path(folder, "pipeline.toml").write_text(f'name = "bench"\n{text}')


def docker_runs(count):
    def runs():
        for _ in range(count):
            run = ["docker", "run", "--rm", "--network", "none", IMAGE, "true"]
            subprocess.run(run, check=True, stdout=subprocess.DEVNULL)

    return runs


def clock(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def bench_chain():
    chain = []
    for number in range(STEPS):
        needs = f'needs = ["s{number - 1}"]\n' if number else ""
        chain.append((f"s{number}", f'{needs}run = ["true"]'))
    others = peers()
    with tempfile.TemporaryDirectory() as folder:

        def ours():
            write(folder, chain)
            return hoist(folder)

        measured = [ours, lambda: clock(docker_runs(STEPS))]
        measured += [lambda run=run: run(folder) for run in others.values()]
        ours, theirs, *rest = medians(7, *measured)
    ratio_row(f"{STEPS} trivial steps in a chain / docker run", ours, theirs, 0.6)
    for name, their in zip(others, rest):
        row(f"the same / {name}", f"{ours / their:.2f}  ({ours:.3f} s / {their:.3f} s)", "nothing", True)


def bench_parallel():
    steps = [(f"s{number}", 'run = ["sleep", "1"]') for number in range(6)]
    with tempfile.TemporaryDirectory() as folder:

        def ours():
            write(folder, steps)
            return hoist(folder, "--jobs", "6")

        # How long an engine takes to start and remove six at once differs from one to the next.
        def bare():
            return clock(lambda: run_containers(IMAGE, ["sleep", "1"], 6, 6))

        ours, theirs = medians(7, ours, bare)
    ratio_row("6 times `sleep 1` side by side, --jobs 6 / bare API", ours, theirs, 1.1)


def bench_cells():
    cells = ", ".join(str(number) for number in range(CELLS))
    with tempfile.TemporaryDirectory() as folder:

        def ours():
            write(folder, [("it", f'run = ["true"]\nmatrix.n = [{cells}]')])
            return hoist(folder, "--jobs", str(JOBS))

        def bare():
            return clock(lambda: run_containers(IMAGE, ["true"], CELLS, JOBS))

        ours, theirs = medians(3, ours, bare)
    ratio_row(f"{CELLS} cells of a trivial step, {JOBS} at once / bare API", ours, theirs, 1.1)


def bench_gigabyte():
    with tempfile.TemporaryDirectory() as folder:
        write(folder, [("it", 'run = ["head", "-c", "1073741824", "/dev/zero"]')])
        peak = peak_memory(folder)
    row("peak memory, 1 GiB of output without a newline", f"{peak / 1e6:.1f} MB", "<= 40 MB", peak <= 40_000_000)


def bench_shop():
    """Without its scan, where there is no Trivy to scan with."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "shop")
        shutil.copytree(ROOT / "examples" / "shop", folder, ignore=shutil.ignore_patterns(".hoist"))
        file = folder / "pipeline.toml"
        text = file.read_text().replace('name = "shop"', 'name = "shop-bench"')
        file.write_text(text.replace("127.0.0.1:8080:", "127.0.0.1:18080:"))
        environment = os.environ | {"SHOP_DB_PASSWORD": "a-password-for-the-bench"}
        leave_out = []
        trivy = os.environ.get("HOIST_TOOLS_TRIVY", "")
        if not trivy:
            say("no HOIST_TOOLS_TRIVY: the shop goes without its scan")
            leave_out = ["--skip", "cve"]

        def run():
            return timed([HOIST, "--progress", "plain", "run", *leave_out], cwd=folder, env=environment)

        try:
            run()
            (ours,) = medians(7, run)
            since = started(folder)
        finally:
            down = [HOIST, "down", "staging", "--volumes"]
            subprocess.run(down, cwd=folder, env=environment, capture_output=True)
    row("examples/shop, nothing changed", f"{ours:.3f} s", "<= 0.3 s", ours <= 0.3)
    row("steps of it that a container was started for", f"{since}", "0", since == 0)


def started(folder):
    """How many `run` steps of the newest run were not taken from an earlier one."""
    newest = sorted(Path(folder, ".hoist/runs").iterdir())[-1]
    state = json.loads((newest / "run.json").read_text())["state"]
    steps = [step for step in state["steps"] if step["kind"] == "run"]
    return sum(step["status"] != {"ended": "cached"} for step in steps)


def peers():
    """The same chain with others, by name, where they are installed."""
    found = {}
    if shutil.which("gitlab-ci-local"):
        found["gitlab-ci-local"] = gitlab_ci_local
    if shutil.which("wrkflw"):
        found["wrkflw"] = wrkflw
    for name in {"gitlab-ci-local", "wrkflw"} - set(found):
        say(f"{name} is not installed: nothing beside it")
    return found


def gitlab_ci_local(folder):
    jobs = []
    for number in range(STEPS):
        needs = f"[s{number - 1}]" if number else "[]"
        jobs.append(f"s{number}:\n  image: {IMAGE}\n  needs: {needs}\n  script: ['true']\n")
    with tempfile.TemporaryDirectory() as own:
        Path(own, ".gitlab-ci.yml").write_text("".join(jobs))
        subprocess.run(["git", "init", "--quiet"], cwd=own, check=True)
        return timed(["gitlab-ci-local"], cwd=own)


def wrkflw(folder):
    jobs = []
    for number in range(STEPS):
        needs = f"    needs: s{number - 1}\n" if number else ""
        jobs.append(
            f"  s{number}:\n    runs-on: ubuntu-latest\n    container: {IMAGE}\n{needs}    steps:\n      - run: 'true'\n"
        )
    with tempfile.TemporaryDirectory() as own:
        file = Path(own, ".github", "workflows", "chain.yml")
        file.parent.mkdir(parents=True)
        file.write_text("name: chain\non: push\njobs:\n" + "".join(jobs))
        return timed(["wrkflw", "run", file], cwd=own)
