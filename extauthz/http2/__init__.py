"""Unary gRPC on plain HTTP/2: an asyncio server that carries bytes to a function and its bytes back.

Nothing here knows what the messages mean. docs/design/fast-transport.md says what is spoken of RFC 9113,
RFC 7541 and gRPC, and what is refused.
"""
