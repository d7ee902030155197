"""The options of every verb, from the parsers themselves."""

from __future__ import annotations

import argparse
import contextlib
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import classes

from diffsound.cli import HELP, OTHER_VERBS, RECIPE_VERBS, main
from diffsound.recipe import DATA, MODULES

prose = partial(classes.prose, folder="recipes/")


def parser_of(verb: str) -> argparse.ArgumentParser:
    """That of which `diffsound VERB --help` prints the options."""
    asked: list[argparse.ArgumentParser] = []
    with mock.patch.object(argparse.ArgumentParser, "print_help", lambda parser, file=None: asked.append(parser)), \
            contextlib.suppress(SystemExit):
        main([verb, "--help"])
    return asked[-1]


def reference() -> str:
    """All verbs, those that take a recipe together."""
    lines = [f"``` text\n{HELP}```", "", "## Verbs that take a recipe {#recipe-verbs}", "", *_recipe_verbs(), ""]
    for verb in OTHER_VERBS:
        lines += [f"## {verb}", "", *_verb(parser_of(verb)), ""]
    return "\n".join(lines)


def _recipe_verbs() -> Iterator[str]:
    """What they have in common, then what only some of them have. Nested keys are the recipe's, and Lightning's."""
    options = {verb: {action.dest: action for action in parser_of(verb)._actions if "." not in action.dest}
               for verb in RECIPE_VERBS}
    hidden = {"help", "trainer", "model", "data", "weights_only", *MODULES, *DATA}
    own: dict[str, argparse.Action] = {}
    for actions in options.values():  # the help of fit comes first
        for key in actions.keys() - hidden:
            own.setdefault(key, actions[key])
    verbs = ", ".join(RECIPE_VERBS)
    yield f"``` text\nusage: diffsound {{{verbs}}} --config RECIPE --config STAGE [--KEY VALUE ...]\n```"
    yield ""
    yield "A key of [the recipe](recipes/index.md) is an option too, as in `--decoder.init_args.learning_rate 1e-3`, " \
          "and so are the arguments of Lightning's `Trainer`, as in `--trainer.precision bf16-mixed`. An option " \
          "beats the files, a later file an earlier one. `model` and `data` are set by the stage."
    yield ""
    for key, action in sorted(own.items(), key=lambda item: [*options["fit"], item[0]].index(item[0])):
        verbs = [verb for verb in RECIPE_VERBS if key in options[verb]]
        only = f" ({', '.join(verbs)})" if len(verbs) < len(RECIPE_VERBS) else ""
        kind = getattr(action, "basetype", None)
        if kind is not None:
            yield f"- `--{key}.KEY VALUE`<br>see {classes.entry_of(kind).link('recipes/')}"
        else:
            default = "" if action.default in (None, argparse.SUPPRESS) else f" (default: {action.default})"
            yield f"- `{', '.join(action.option_strings)}`{only}<br>{prose(f'{action.help or str()}{default}')}"


def _verb(parser: argparse.ArgumentParser) -> Iterator[str]:
    description = inspect.cleandoc(parser.description or "")
    raw = parser.formatter_class is argparse.RawDescriptionHelpFormatter
    first, _, rest = description.partition("\n\n")
    yield prose(first)
    yield ""
    yield (f"``` text\n{rest}\n```" if raw else prose(rest)) if rest else ""
    yield ""
    with mock.patch.dict("os.environ", COLUMNS="100"):
        yield f"``` text\n{parser.format_usage()}```"
    yield ""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, inner in action.choices.items():
                about = next((choice.help for choice in action._choices_actions if choice.dest == verb), "")
                yield f"### {inner.prog.removeprefix('diffsound ')}"
                yield ""
                yield prose(about or "")
                yield ""
                yield from _verb(inner)
        elif action.dest != "help":
            yield _option(parser, action)
    yield ""
    yield prose(parser.epilog or "")


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter: Any = parser._get_formatter()
    text = formatter._expand_help(action) if action.help else ""
    default = " ".join(map(str, action.default)) if isinstance(action.default, list) else action.default
    if default not in (None, "", argparse.SUPPRESS) and default is not False and "default" not in text:
        text = f"{text} (default: {default})".strip()
    return f"- `{formatter._format_action_invocation(action)}`" + (f"<br>{prose(text)}" if text else "")
