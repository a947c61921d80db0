"""docs/evidence/interop.md's table has the rows and columns of the code. Its cells are not compared."""

from __future__ import annotations

import re

from tests.interop.cases import CLIENTS
from tests.interop.conftest import MODES
from tests.interop.table import BEGIN, DOCS, END, tables, written

RESULT = re.compile("pass|FAIL|not run")


def test_the_docs_tell_of_the_same_cases_clients_and_tools() -> None:
    document = DOCS.read_text()
    assert document.count(BEGIN) == document.count(END) == 1
    assert RESULT.sub("?", written(document)) == RESULT.sub("?", tables({})), (
        "run `python -m tests.interop.table --write`"
    )


def test_a_table_shows_each_result() -> None:
    results = {
        ("grpcio", "empty_unary", "plaintext", "still"): ["passed"],
        ("grpcio", "empty_unary", "TLS", "moved-every-turn"): ["failed"],
        ("test_h2load_calls", "plaintext", "still"): ["passed", "passed"],
        ("test_h2load_calls", "TLS", "still"): ["passed", "failed"],
        ("test_nghttp_multiplexes", "plaintext", "still"): ["skipped"],
        ("test_openssl_is_refused", "TLS", "still"): ["passed"],
    }
    text = tables(results)
    assert "| `empty_unary` | messages of no bytes travel | pass / not run / not run / FAIL |" in text
    assert re.search(r"^\| h2load \| 2,000 calls.* \| pass \| not run \| FAIL \| not run \|$", text, re.M)
    assert re.search(r"^\| nghttp \| a hundred calls.* \| not run \| not run \| not run \| ", text, re.M)
    assert re.search(r"^\| openssl \| TLS 1.2, no.* \| n/a \| n/a \| pass \| not run \|$", text, re.M)
    assert all(client in text for client in CLIENTS) and all(mode in text for mode in MODES)
