"""What all measurements share: taking turns, medians, the table of rows."""
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What users get.
PROFILE = "dist"
HOIST = ROOT / "target" / PROFILE / "hoist"
failed = []


def say(text):
    print(f"bench: {text}", file=sys.stderr)


def row(what, measured, bound, held):
    print(f"{'ok  ' if held else 'MISS'} {what:<62} {measured:<28} must reach {bound}", flush=True)
    if not held:
        failed.append(what)


def ratio_row(what, ours, theirs, most):
    ratio = ours / theirs
    row(what, f"{ratio:.2f}  ({ours:.3f} s / {theirs:.3f} s)", f"<= {most}", ratio <= most)


def timed(command, **options):
    null = subprocess.DEVNULL
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=null, stderr=null, **options)
    return time.monotonic() - start


def medians(count, *measurements):
    """Of each, taken in turn after one warm-up of each."""
    for measurement in measurements:
        measurement()
    rounds = [[measurement() for measurement in measurements] for _ in range(count)]
    return [statistics.median(times) for times in zip(*rounds)]


def hoist(folder, *arguments):
    return timed([HOIST, "--progress", "plain", "run", *arguments], cwd=folder)


def peak_memory(folder):
    """Of one run of hoist, in bytes."""
    null = subprocess.DEVNULL
    child = subprocess.Popen([HOIST, "--progress", "plain", "run"], cwd=folder, stdout=null, stderr=null)
    peak = 0
    while child.poll() is None:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            continue
        peak = max([peak, *(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+)", status))])
        time.sleep(0.002)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return peak * 1024


def memory_row(what, peak):
    row(f"peak memory, {what}", f"{peak / 1e6:.1f} MB", "<= 25 MB", peak <= 25_000_000)
