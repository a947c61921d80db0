"""Which keys the bytes from a terminal are: a printable one is itself, the others have names."""

from __future__ import annotations

import codecs

__all__ = ["PASTED", "Keys"]

#: What has been pasted begins like this: it is text, and no keys.
PASTED = "pasted:"

_NAMED = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x0c": "redraw",
    "\x15": "clear",
}
#: By what follows ESC [ or ESC O.
_SEQUENCES = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "M": "enter",
    "1~": "home", "4~": "end", "7~": "home", "8~": "end", "5~": "page up", "6~": "page down",
}  # fmt: skip
_PASTE, _END = "\x1b[200~", "\x1b[201~"
#: No sequence of a key, and nothing that is of use when it is pasted, is longer.
_LONGEST_SEQUENCE, _LONGEST_PASTE = 32, 4096


class Keys:
    """Reads what comes in pieces of any length."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._text = ""

    @property
    def half(self) -> bool:
        """Whether it is not known yet what has begun: if nothing follows soon, it was the key Esc."""
        return self._text == "\x1b"

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete now."""
        self._text += self._decoder.decode(data)
        found: list[str] = []
        while self._text and self._take(found):
            pass
        return found

    def flush(self) -> list[str]:
        """Nothing has followed."""
        if not self.half:
            return []
        self._text = ""
        return ["esc"]

    def _take(self, found: list[str]) -> bool:
        """Take one key off the text. Returns False if it is not complete."""
        text = self._text
        if text.startswith(_PASTE):
            return self._take_paste(found)
        if text[0] == "\x1b":
            return self._take_sequence(found)
        self._text = text[1:]
        if text[0] in _NAMED:
            found.append(_NAMED[text[0]])
        elif text[0].isprintable():
            found.append(text[0])
        return True

    def _take_paste(self, found: list[str]) -> bool:
        pasted, end, rest = self._text[len(_PASTE) :].partition(_END)
        if not end:
            longest = len(_PASTE) + _LONGEST_PASTE
            # The end of the paste may have begun.
            self._text = self._text[:longest] + self._text[longest:][-len(_END) :]
            return False
        self._text = rest
        found.append(PASTED + "".join(each for each in pasted[:_LONGEST_PASTE] if each.isprintable()))
        return True

    def _take_sequence(self, found: list[str]) -> bool:
        text = self._text
        if len(text) == 1:
            return False
        if text[1] not in "[O":  # Alt and a key, or Esc and then a key
            self._text = text[1:]
            found.append("esc")
            return True
        for at in range(2, min(len(text), _LONGEST_SEQUENCE)):
            if "@" <= text[at] <= "~":
                self._text = text[at + 1 :]
                if name := _SEQUENCES.get(text[2 : at + 1]):
                    found.append(name)
                return True
        if len(text) < _LONGEST_SEQUENCE:
            return False
        self._text = ""
        return True

    def __repr__(self) -> str:
        return f"<Keys, {len(self._text)} characters left>"
