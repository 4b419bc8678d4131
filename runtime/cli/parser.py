"""A parser whose options may stand anywhere, also between the words of a verb."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


class Parser(argparse.ArgumentParser):
    """As argparse's, but `generate BUNDLE --steps 4 "red apple"` is read as it is meant.

    argparse alone takes all words of a list at the first place where one may stand, and then knows
    nothing of those behind an option. Its subparsers are of this class, too.
    """

    _has_verbs = False
    _is_reading = False

    def add_subparsers(self, **kwargs: Any) -> Any:  # noqa: ANN401  argparse's own signature
        """Add verbs; which of them reads the options is then known by its place alone."""
        self._has_verbs = True
        return super().add_subparsers(**kwargs)

    def parse_known_args(  # type: ignore[override]  # argparse's overloads
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; options first, then words, where this parser has no verbs.

        Raises:
            SystemExit: words that nobody has asked for, said beside this verb's own usage.
        """
        if self._has_verbs or self._is_reading:
            return super().parse_known_args(args, namespace)
        self._is_reading = True
        try:
            found, unread = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_reading = False
        if unread:
            self.error(f"unrecognized arguments: {' '.join(unread)}{self._meant(unread)}")
        return found, []

    def _meant(self, words: Sequence[str]) -> str:
        """The option that is spelt nearly as the first unknown one."""
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        close = get_close_matches(options[0], self._option_string_actions, 1) if options else []
        return f" (did you mean {close[0]}?)" if close else ""
