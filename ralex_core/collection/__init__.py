"""How operations come in: the SDK inside a host process, and the doors of the server."""
