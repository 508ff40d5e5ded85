"""The shape of the project itself: what may be imported where, what the wheel holds, docs that keep up."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from kodolly.cli import COMMANDS
from tests.support.product import PARTS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "vllm", "gradio", "trl", "peft", "datasets")


def test_light_parts_load_no_heavy_library() -> None:
    code = (
        "import importlib, json, sys\n"
        "loaded = {}\n"
        "for part in ('server.app', 'controller.app', 'worker.supervisor', 'kodolly.cli'):\n"
        "    importlib.import_module(part)\n"
        f"    loaded[part] = [m for m in {HEAVY} if m in sys.modules]\n"
        "print(json.dumps(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = json.loads(done.stdout)
    assert len(loaded) == 4
    assert not any(loaded.values()), loaded


def test_every_command_has_help_with_examples_and_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; from click.testing import CliRunner; from kodolly.cli import COMMANDS, root\n"
        "found = {}\n"
        "for command in COMMANDS:\n"
        "    said = CliRunner().invoke(root, [command, '--help']).output\n"
        f"    found[command] = [said, [m for m in {HEAVY} if m in sys.modules]]\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    assert found.keys() == set(COMMANDS)
    for command, (said, loaded) in found.items():
        assert "Examples:" in said, command
        assert loaded == [], command


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("uv"),
            "build",
            "--wheel",
            "--quiet",
            "--offline",
            "--out-dir",
            tmp_path,
            ROOT,
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:  # no setuptools in uv's cache: build with the installed one
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)]
        subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PARTS)
    for needed in ("common/templates/dolly.jinja", "finetune/demo/rows.jsonl", "common/py.typed"):
        assert needed in names
    modules = {str(p.relative_to(ROOT)) for part in PARTS for p in (ROOT / part).rglob("*.py")}
    assert modules <= set(names)


def test_the_settings_page_is_what_the_script_prints() -> None:
    loader = SourceFileLoader("document_settings", str(ROOT / "scripts" / "document-settings"))
    spec = importlib.util.spec_from_loader("document_settings", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == module.page()


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_every_link_and_command_of_the_readme_exists(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (ROOT / target).exists(), target
    for command in re.findall(r"^kodolly (\w+)", text, re.MULTILINE):
        assert command in COMMANDS
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_changelog_names_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_each_dependency_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    names = [re.split(r"[<>=;\[ ]", dependency)[0].lower() for group in groups for dependency in group]
    assert sorted(names) == sorted(set(names))


def test_no_code_of_a_checkpoint_is_run_or_asked_about() -> None:
    """Without `trust_remote_code=False` Transformers asks on the terminal whether to run what it finds."""
    asking = []
    for file in sorted((ROOT / "finetune").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith(".from_pretrained"):
                continue
            said = {each.arg: ast.unparse(each.value) for each in call.keywords}
            if "Generation" not in ast.unparse(call.func) and said.get("trust_remote_code") != "False":
                asking.append(f"{file.name}:{call.lineno}")
    assert asking == []
