"""Why the server ends a stream."""

import grpc


class StreamError(Exception):
    """Ends a stream: the gRPC status, and a message that says what would have been right."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
