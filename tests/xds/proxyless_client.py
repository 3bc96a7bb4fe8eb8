"""A proxyless gRPC client as a process of its own: `xds:///SERVICE`, without Envoy.

Reads numbers from standard input, makes so many calls, and writes one JSON object for each: answers and errors by text.
"""

import json
import sys
from collections import Counter

import grpc

METHOD = "/demo.Model/Predict"


def main() -> None:
    """Until standard input ends."""
    with grpc.insecure_channel(f"xds:///{sys.argv[1]}") as channel:
        predict = channel.unary_unary(METHOD)
        for line in sys.stdin:
            answers: Counter[str] = Counter()
            errors: Counter[str] = Counter()
            for _ in range(int(line)):
                try:
                    answers[predict(b"", timeout=5, wait_for_ready=True).decode()] += 1
                except grpc.RpcError as error:
                    errors[f"{error.code()}: {error.details()}"] += 1
            print(json.dumps({"answers": answers, "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
