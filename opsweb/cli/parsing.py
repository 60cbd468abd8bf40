"""How the command line is parsed: our parser, and the pieces that every command is made of. Used by arguments and network_arguments."""

import argparse
from typing import Any, NoReturn

from opsweb.cli.problems import Usage


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations (a script's flag must mean the same for ever) and raises Usage instead of leaving."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}. See `{self.prog} --help`.")


def common() -> Parser:
    """The flags of every command."""
    # SUPPRESS: the flags stand before or after the command, and the later parser must not wipe what the earlier one found.
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("-j", "--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--team", metavar="NAME", help="the team to work in")
    parser.add_argument("--url", metavar="URL", help="the panel's address (OPSWEB_URL)")
    parser.add_argument("--token", metavar="TOKEN", help="an API token (OPSWEB_TOKEN; seen by others in the list of processes)")
    return parser


def leaf(commands: Any, name: str, shared: Parser, command: Any, text: str) -> Parser:
    """A command that does something."""
    made: Parser = commands.add_parser(name, parents=[shared], help=text, description=text)
    made.set_defaults(command=command)
    return made


def below(parser: Parser) -> Any:
    """Where the commands under `parser` are added."""
    return parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
