"""(a): the least that a gRPC server in Python costs, for the same messages.

    python -m loadtests.bench.echo PORT ANSWER_HEX

grpc.aio on uvloop with Turnout's own options; reads an AuthorizePaymentRequest and writes one and
the same Payment, of the size of a real answer. Nothing else: no authentication, no record.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc
import uvloop

from turnout import v1
from turnout.app.limits import freeze_garbage, share_fairly
from turnout.config.sections import Server
from turnout.server.server import _options


async def serve(port: int, answer: v1.Payment) -> None:
    """Echoes until SIGTERM."""

    async def echo(
        request: v1.AuthorizePaymentRequest,
        context: grpc.aio.ServicerContext[v1.AuthorizePaymentRequest, v1.Payment],
    ) -> v1.Payment:
        return answer

    server = grpc.aio.server(options=_options(Server(), reuse_port=False))
    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=v1.AuthorizePaymentRequest.FromString,
        response_serializer=v1.Payment.SerializeToString,
    )
    # By name, as Turnout's own: a registered method costs grpc.aio one waiting task more.
    methods = {"AuthorizePayment": handler}
    service = grpc.method_handlers_generic_handler("turnout.v1.PaymentService", methods)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start()
    freeze_garbage()
    await stop.wait()
    await server.stop(None)


def main() -> None:
    """Runs it on uvloop, as Turnout runs."""
    port, answer = int(sys.argv[1]), v1.Payment.FromString(bytes.fromhex(sys.argv[2]))
    share_fairly()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(port, answer))


if __name__ == "__main__":
    main()
