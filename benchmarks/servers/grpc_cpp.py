"""gRPC C++: the program that benchmarks/peers/grpc_cpp.cc is built to, with its arguments."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
