"""`retinexrt completion bash|zsh|fish`: a script that completes commands, options, networks and files, from the parsers."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: How a script is written once: to ask every command for its options takes half a second, too long for each shell's start.
SHELLS = {
    "bash": "retinexrt completion bash > ~/.retinexrt.bash    # and in ~/.bashrc: source ~/.retinexrt.bash",
    "zsh": "retinexrt completion zsh > ~/.retinexrt.zsh      # and in ~/.zshrc, after compinit: source ~/.retinexrt.zsh",
    "fish": "retinexrt completion fish > ~/.config/fish/completions/retinexrt.fish",
}

#: Names of the options and words that take the name of a network.
_NETWORK = ("network", "networks", "source", "name", "names")


@dataclass(frozen=True)
class _Option:
    """An option, or the words of a command where `flags` is empty."""

    flags: tuple[str, ...]
    help: str
    takes_value: bool
    #: Its possible values; empty: a file, or anything.
    values: tuple[str, ...]


Tree = Mapping[str, tuple[str, list[_Option]]]

#: Commands by name: what each is for, and its parser; None: it is not installed.
Commands = Mapping[str, tuple[str, argparse.ArgumentParser | None]]


def script(shell: str, commands: Commands) -> str:
    """The script for a shell."""
    tree = {name: (text, list(_options(parser)) if parser else []) for name, (text, parser) in commands.items()}
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](tree)


def _options(parser: argparse.ArgumentParser) -> Iterator[_Option]:
    from runtime import backends
    from runtime.artifact import locate

    known: dict[str, tuple[str, ...]] = {name: tuple(sorted(locate.network_names())) for name in _NETWORK}
    known["backend"] = ("auto", *(backend.name for backend in backends.BACKENDS))
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage] # there is no public list
        values = tuple(map(str, action.choices)) if action.choices else known.get(action.dest, ())
        text = re.sub(r" \(default.*", "", (action.help or "") % {**vars(action), "prog": parser.prog})
        yield _Option(tuple(action.option_strings), text, action.nargs != 0, values)


def _bash(tree: Tree) -> str:
    flags, values, words = list[str](), list[str](), list[str]()
    for name, (_, options) in tree.items():
        flags.append(_case(name, [flag for option in options for flag in option.flags]))
        words.append(_case(name, [value for option in options if not option.flags for value in option.values]))
        values += [
            _case("|".join(f"{name}:{flag}" for flag in option.flags), option.values)
            for option in options
            if option.flags and option.takes_value
        ]
    return f"""\
_retinexrt() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words=
  # bash cuts --option=value into three words.
  [[ $cur == "=" ]] && cur= || {{ [[ $prev == "=" ]] && prev=${{COMP_WORDS[COMP_CWORD-2]}}; }}
  if ((COMP_CWORD == 1)); then
    words={shlex.quote(" ".join(tree))}
  elif [[ $cur == -* ]]; then
    case "$command" in
{_lines(flags)}
    esac
  else
    case "$command" in
{_lines(words)}
    esac
    case "$command:$prev" in
{_lines(values)}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o bashdefault -o default -F _retinexrt retinexrt
"""


def _case(pattern: str, words: Sequence[str]) -> str:
    return f"    {pattern}) words={shlex.quote(' '.join(words))} ;;"


def _lines(cases: list[str]) -> str:
    return "\n".join(cases)


def _zsh(tree: Tree) -> str:
    commands = " ".join(shlex.quote(f"{name}:{_plain(text)}") for name, (text, _) in tree.items())
    cases: list[str] = []
    for name, (_, options) in tree.items():
        specs = [_zsh_spec(option, flag) for option in options for flag in option.flags]
        values = [value for option in options if not option.flags for value in option.values]
        words = f"*:word:{{compadd -- {' '.join(values)}; _files}}" if values else "*:file:_files"
        cases.append(f"    {name}) _arguments {' '.join(map(shlex.quote, [*specs, words]))} ;;")
    return f"""\
#compdef retinexrt
_retinexrt() {{
  if ((CURRENT == 2)); then
    local -a commands=({commands})
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
{_lines(cases)}
  esac
}}
if [[ $funcstack[1] == _retinexrt ]]; then
  _retinexrt  # loaded from $fpath, as a file called _retinexrt, by the first Tab
else
  compdef _retinexrt retinexrt
fi
"""


def _zsh_spec(option: _Option, flag: str) -> str:
    if not option.takes_value:
        return f"{flag}[{_plain(option.help)}]"
    either = "=" if flag.startswith("--") else ""  # "--option value" and "--option=value"
    return f"{flag}{either}[{_plain(option.help)}]:value:" + (f"({' '.join(option.values)})" if option.values else "_files")


def _plain(text: str) -> str:
    """Without what zsh reads as part of its own notation."""
    return re.sub(r"[\[\]:\\()]", "", text)


def _fish(tree: Tree) -> str:
    lines = [
        "function __retinexrt_command",
        "  set -l words (commandline -opc)",
        '  test "$words[2]" = $argv[1]',
        "end",
        "complete -c retinexrt -e",
    ]
    for name, (text, options) in tree.items():
        lines.append(f"complete -c retinexrt -n __fish_use_subcommand -f -a {name} -d {_fish_quoted(text)}")
        for option in options:
            values = f" -a {_fish_quoted(' '.join(option.values))}" if option.values else ""
            flags = "".join(f" -l {flag.lstrip('-')}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in option.flags)
            if not flags and not values:
                continue
            value = (" -x" if option.values else " -r") if flags and option.takes_value else ""
            described = f" -d {_fish_quoted(option.help)}" if flags else ""
            lines.append(f"complete -c retinexrt -n '__retinexrt_command {name}'{flags}{value}{values}{described}")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
