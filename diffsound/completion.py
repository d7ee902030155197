"""`diffsound completion`: what a shell needs to complete verbs, and the options of generate, replay and serve."""

from __future__ import annotations

import argparse

from diffsound import generate, replay
from diffsound.app import command as serve

SHELLS = ("bash", "zsh", "fish")


def main(args: list[str]) -> None:
    """Print the completion of the command for a shell.

    bash: diffsound completion bash > ~/.local/share/bash-completion/completions/diffsound
    zsh: diffsound completion zsh > FOLDER/_diffsound, a FOLDER of your fpath
    fish: diffsound completion fish > ~/.config/fish/completions/diffsound.fish
    """
    parser = argparse.ArgumentParser(prog="diffsound completion", description=main.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shell", choices=SHELLS)
    print(script(parser.parse_args(args).shell), end="")


def script(shell: str) -> str:
    """The text of it."""
    from diffsound.cli import verbs

    options = {"generate": _options(generate.parser()), "replay": _options(replay.parser()),
               "serve": _options(serve.parser())}
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](list(verbs()), options)


class Option(argparse.Namespace):
    """flag "--format"; takes: whether a value follows; choices: of it, if they are known; files: whether it is one."""


def _options(parser: argparse.ArgumentParser) -> list[Option]:
    return [Option(flag=action.option_strings[-1], takes=action.nargs != 0, choices=list(action.choices or ()),
                   files=str(action.metavar) in ("FOLDER", "FILE", "NAME"), help=(action.help or "").replace("%%", "%"))
            for action in parser._actions if action.option_strings]


def _bash(verbs: list[str], options: dict[str, list[Option]]) -> str:
    lines = ["_diffsound() {", '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
             "    COMPREPLY=()", '    if [ "$COMP_CWORD" -eq 1 ]; then',
             f'        COMPREPLY=($(compgen -W "{" ".join(verbs)}" -- "$word"))', "        return", "    fi",
             '    case "${COMP_WORDS[1]} $before" in']
    for verb, of_verb in options.items():
        for option in of_verb:
            if option.choices:
                lines.append(f'        "{verb} {option.flag}") COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- '
                             '"$word")); return;;')
            elif option.takes and not option.files:
                lines.append(f'        "{verb} {option.flag}") return;;')
    lines += ["    esac", '    case "${COMP_WORDS[1]} $word" in']
    for verb, of_verb in options.items():
        flags = " ".join(option.flag for option in of_verb)
        lines.append(f'        "{verb} -"*) COMPREPLY=($(compgen -W "{flags}" -- "$word")); return;;')
    return "\n".join([*lines, "    esac", '    COMPREPLY=($(compgen -f -- "$word"))', "}",
                      "complete -o filenames -F _diffsound diffsound", ""])


def _zsh(verbs: list[str], options: dict[str, list[Option]]) -> str:
    lines = ["#compdef diffsound", "", "_diffsound() {", "    if (( CURRENT == 2 )); then",
             f"        compadd -- {' '.join(verbs)}", "        return", "    fi", '    case "$words[2]" in']
    for verb, of_verb in options.items():
        lines += [f"        {verb})", "            shift words", "            (( CURRENT-- ))",
                  "            _arguments \\"]
        for option in of_verb:
            told = option.help.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
            value = f":value:({' '.join(option.choices)})" if option.choices else \
                ":file:_files" if option.files else ":value:" if option.takes else ""
            lines.append(f"                '{option.flag}[{told}]{value}' \\")
        lines += ["                '*:file:_files'", "            ;;"]
    return "\n".join([*lines, "        *) _files ;;", "    esac", "}", "",
                      'if [ "$funcstack[1]" = "_diffsound" ]; then _diffsound "$@"',
                      "else compdef _diffsound diffsound", "fi", ""])


def _fish(verbs: list[str], options: dict[str, list[Option]]) -> str:
    lines = [f"complete -c diffsound -n __fish_use_subcommand -f -a '{' '.join(verbs)}'"]
    for verb, of_verb in options.items():
        for option in of_verb:
            told = option.help.replace("\\", "\\\\").replace("'", "\\'")
            value = f" -x -a '{' '.join(option.choices)}'" if option.choices else \
                " -r" if option.files else " -x" if option.takes else ""
            lines.append(f"complete -c diffsound -n '__fish_seen_subcommand_from {verb}' -l {option.flag[2:]}{value} "
                         f"-d '{told}'")
    return "\n".join([*lines, ""])
