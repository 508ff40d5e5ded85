"""Virtual environments with the gateways we compare ourselves with, pinned, made once and kept.

python benchmarks/peers.py [--cache DIR] NAME ...        (fastchat litellm smg vllm-router)
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

CACHE = Path.home() / ".cache" / "kodolly-peers"

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "fastchat": ("fschat==0.2.36", "setuptools<81"),
    "litellm": ("litellm[proxy]==1.109.1",),
    "smg": ("smg==1.13.0",),
    "vllm-router": ("vllm-router==0.1.17",),
}


def peer_venv(name: str, cache: Path = CACHE) -> Path:
    """The directory of `name`'s virtual environment, installed now unless it was before.

    Raises KeyError for an unknown name and subprocess.CalledProcessError when the installation fails.
    """
    wanted = REQUIREMENTS[name]
    venv = cache / name
    stamp = venv / ".installed"
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        return venv
    venv.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted], check=True)
    stamp.write_text(digest, encoding="ascii")
    return venv


def main() -> None:
    """Install the named peers and print where they are."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("names", nargs="+", choices=sorted(REQUIREMENTS), metavar="NAME")
    parser.add_argument("--cache", type=Path, default=CACHE, help="directory of the environments")
    args = parser.parse_args()
    for name in args.names:
        print(name, peer_venv(name, args.cache))


if __name__ == "__main__":
    main()
