"""Tab completion, asked of the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.artifact import locate
from runtime.commands.completion import SHELLS
from runtime.commands.main import main

#: A line as typed, and words that complete it; those after "!" do not.
CASES = {
    "retinexrt enh": {"enhance"},
    "retinexrt doctor d": {"dawn"},
    "retinexrt enhance --network d": {"dawn", "!pdn", "!--device"},
    "retinexrt enhance --network=pd": {"--network=pdn"},
    "retinexrt enhance --tile o": {"off"},
    "retinexrt enhance --backend open": {"openvino"},
    "retinexrt enhance --stren": {"--strength"},
    "retinexrt enhance nig": {"night.jpg"},
    "retinexrt triton --ki": {"--kind"},
    "retinexrt completion f": {"fish"},
    "retinexrt enhance doctor --stren": {"--strength"},
    "retinexrt doctor enhance --stren": {"!--strength"},
}

#: bash cuts words at "=" too, and a completion is of what follows it.
_BASH = """
COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _retinexrt
((${{#COMPREPLY[@]}})) || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
printf '{before}%s\\n' "${{COMPREPLY[@]}}"
"""

#: How zsh gets the script: from a start-up file, or from its folder of functions by the first Tab.
_ZSH_STARTS = {
    "sourced": "autoload -Uz compinit; compinit -u -D; source script",
    "in fpath": "cp script _retinexrt; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D",
}

#: zsh completes in a terminal alone: one of its own, where the line that Tab has completed is printed and not run.
_ZSH = """
import os, pty, sys, time
pid, terminal = pty.fork()
if not pid:
    os.execvp("zsh", ["zsh", "-f", "-i"])
def send(text, seconds):
    os.write(terminal, text.encode()); time.sleep(seconds)
send("PS1=; unsetopt zle_bracketed_paste; " + sys.argv[2] + "\\n", 2)
send(sys.argv[1] + "\\t", 2)
send("\\x01print -r -- FOUND \\n", 0.5)
send("exit\\n", 0)
said = b""
try:
    while part := os.read(terminal, 9999):
        said += part
except OSError:
    pass
print(said.decode(errors="replace").rpartition("\\nFOUND ")[2].partition("\\n")[0])
"""


@pytest.fixture(autouse=True)
def known_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases hold for these alone: two names that begin alike are listed, not completed."""
    monkeypatch.setattr(locate, "network_names", lambda: ["dawn", "pdn"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "night.jpg").touch()
    return tmp_path


def _script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def _run(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout


def _check(found: list[str], expected: set[str]) -> None:
    assert {word for word in expected if word[0] != "!"} <= {*found}
    assert not {word[1:] for word in expected if word[0] == "!"} & {*found}


@pytest.mark.parametrize("line", CASES)
def test_bash_completes(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = line[: line.index("=") + 1].split()[-1] if "=" in line else ""
    asked = _script("bash", capsys) + _BASH.format(line=line.replace("=", " = "), before=before.replace("-", "\\x2d"))
    _check(_run(["bash", "--norc", "-c", asked], folder).split(), CASES[line])


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize("line", CASES)
def test_fish_completes(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "script").write_text(_script("fish", capsys))
    said = _run(["fish", "--no-config", "-c", f"source script; complete -C '{line}'"], folder)
    _check([each.split("\t")[0] for each in said.splitlines()], CASES[line])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize("line", CASES)
def test_zsh_completes(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "script").write_text(_script("zsh", capsys))
    _check(_run([sys.executable, "-c", _ZSH, line, _ZSH_STARTS["sourced"]], folder).split(), CASES[line])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize("line", ["retinexrt enh", "retinexrt enhance --tile o"])
def test_zsh_completes_from_its_folder_of_functions(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "script").write_text(_script("zsh", capsys))
    _check(_run([sys.executable, "-c", _ZSH, line, _ZSH_STARTS["in fpath"]], folder).split(), CASES[line])


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_finds_the_script_where_the_help_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = SHELLS["fish"].rpartition("> ~/.config/")[2]
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_text(_script("fish", capsys))
    known = "function retinexrt; end"  # fish looks for completions of commands that exist
    command = ["env", f"XDG_CONFIG_HOME={folder}", f"HOME={folder}", "fish", "-c", f"{known}; complete -C 'retinexrt enh'"]
    assert _run(command, folder).startswith("enhance\t")


@pytest.mark.parametrize("shell", SHELLS)
def test_descriptions_are_what_help_shows(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = _script(shell, capsys)
    assert "%" not in said.replace("%s", "") and "default)s" not in said and "defaults" not in said


def test_what_is_not_installed_is_completed_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "train.train", None)
    assert " train " in _script("bash", capsys)
