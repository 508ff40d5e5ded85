"""Virtual environments with the gateways we compare ourselves with, pinned, made once and kept.

python benchmarks/peers.py [--cache DIR] NAME ...        (fastchat litellm smg vllm-router)
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache" / "kodolly-peers"


@dataclass(frozen=True)
class Peer:
    """What to install for one peer."""

    requirements: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    """Replace what its packages ask for."""


PEERS = {
    # Its streams fail with pydantic 2 (it passes json() an argument that is gone), and FastAPI must fit.
    "fastchat": Peer(("fschat==0.2.36", "pydantic==1.10.26", "fastapi<0.126")),
    # It pins certificates and its database add-ons to their newest day, which mirrors lag behind; neither
    # has a part in passing a chat on.
    "litellm": Peer(
        ("litellm[proxy]==1.109.1",),
        ("certifi>=2024", "litellm-proxy-extras>=0.4", "litellm-enterprise>=0.1"),
    ),
    "smg": Peer(("smg==1.13.0",)),
    "vllm-router": Peer(("vllm-router==0.1.17",)),
}


def peer_venv(name: str, cache: Path = CACHE) -> Path:
    """The directory of `name`'s virtual environment, installed now unless it was before.

    Raises KeyError for an unknown name and subprocess.CalledProcessError when the installation fails.
    """
    peer = PEERS[name]
    venv = cache / name
    stamp = venv / ".installed"
    digest = hashlib.sha256(repr(peer).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        return venv
    venv.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], check=True)
    overrides = venv / "overrides.txt"
    overrides.write_text("\n".join(peer.overrides), encoding="ascii")
    python = str(venv / "bin" / "python")
    argv = [uv, "pip", "install", "--quiet", "--python", python, "--override", str(overrides)]
    subprocess.run([*argv, *peer.requirements], check=True)
    stamp.write_text(digest, encoding="ascii")
    return venv


def _uv() -> str:
    ours = Path(sys.executable).with_name("uv")
    return str(ours) if ours.exists() else shutil.which("uv") or "uv"


def main() -> None:
    """Install the named peers and print where they are."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("names", nargs="+", choices=sorted(PEERS), metavar="NAME")
    parser.add_argument("--cache", type=Path, default=CACHE, help="directory of the environments")
    args = parser.parse_args()
    for name in args.names:
        print(name, peer_venv(name, args.cache))


if __name__ == "__main__":
    main()
